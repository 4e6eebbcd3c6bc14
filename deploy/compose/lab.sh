#!/usr/bin/env bash
# lab.sh up|down|status LAB: a cluster of several nodes in containers. `make lab-up` and `make lab-down` call it.
#
# LAB_BASE=IMAGE   base of the node image; else debian:bookworm-slim where it can be pulled, else one of debootstrap
# LAB_PORT=16443   port of this host's loopback that leads to the apiserver
# LAB_NET=10.91.7  first three numbers of the nodes' network
set -euo pipefail
cd "$(dirname "$0")/../.."

action=${1:-} lab=${2:-small}
work=build/lab
node_image=skiff.local/node
packages=busybox-static,ca-certificates,conntrack,containerd,containernetworking-plugins,iproute2,mount,nftables,procps,python3,python3-venv,runc

say() { printf '%6s s  %s\n' "$SECONDS" "$1"; }
fail() { echo "lab: $1" >&2; exit 1; }

[[ $lab == small ]] || fail "there is no lab '$lab'; the one there is: small"

if docker compose version >/dev/null 2>&1; then compose=(docker compose); else compose=(docker-compose); fi
files=(-f deploy/compose/lab.yaml)
# `privileged` asks for all capabilities: where one of them cannot be had, the container does not start.
if ((!(16#$(awk '/^CapBnd/ { print $2 }' /proc/self/status) >> 24 & 1))); then
  files+=(-f deploy/compose/lab-unprivileged.yaml)
fi
compose+=(-p "skiff-$lab" "${files[@]}")

need() { command -v "$1" >/dev/null 2>&1 || fail "$1 is missing; apt-get install $2"; }

inside() {
  local node=$1
  shift
  "${compose[@]}" exec -T "$node" "$@"
}

base_image() {
  if [[ -n ${LAB_BASE:-} ]]; then
    echo "$LAB_BASE"
  elif docker image inspect debian:bookworm-slim >/dev/null 2>&1 ||
    timeout 30 docker pull -q debian:bookworm-slim >/dev/null 2>&1; then
    echo debian:bookworm-slim
  else
    docker image inspect skiff.local/base:bookworm >/dev/null 2>&1 || make_base >&2
    echo skiff.local/base:bookworm
  fi
}

# From the same mirror as this host's own packages.
make_base() {
  need debootstrap debootstrap
  local mirror folder
  mirror=$(sed -n 's/^URIs: *//p' /etc/apt/sources.list.d/debian.sources 2>/dev/null | head -n 1)
  [[ -n $mirror ]] || mirror=$(awk '$1 == "deb" { print $2; exit }' /etc/apt/sources.list 2>/dev/null)
  [[ -n $mirror ]] || fail "no image can be pulled and this host names no Debian mirror; give a base: LAB_BASE=IMAGE"
  say "no base image can be pulled: making one with debootstrap (a few minutes, once)"
  folder=$(mktemp -d)
  if ! debootstrap --variant=minbase --include="$packages" bookworm "$folder" "$mirror" >"$work/debootstrap.log" 2>&1; then
    rm -rf "$folder"
    fail "debootstrap failed; see $work/debootstrap.log"
  fi
  tar -C "$folder" --exclude='./var/cache/apt/archives/*.deb' --exclude='./var/lib/apt/lists/*' -c . |
    docker import - skiff.local/base:bookworm >/dev/null
  rm -rf "$folder"
}

# Where this host's Python is the image's (3.11), its pip, with its own settings, fetches the wheels once.
wheels() {
  local stamp
  stamp=$(sha256sum requirements/runtime.txt | cut -d ' ' -f 1)
  [[ -e build/wheels/.$stamp ]] && return
  rm -rf build/wheels build/wheels.part
  .venv/bin/python -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null || return 0
  say "fetching Python wheels (once)"
  if .venv/bin/python -m pip download -q --no-deps --only-binary=:all: --require-hashes -r requirements/runtime.txt \
    -d build/wheels.part >"$work/wheels.log" 2>&1; then
    touch "build/wheels.part/.$stamp" && mv build/wheels.part build/wheels
  fi
}

build() {
  local base
  mkdir -p "$work"
  base=$(base_image)
  wheels
  say "building $node_image on $base"
  docker build -q --network=host --build-arg "BASE=$base" -t "$node_image" -f deploy/images/node/Dockerfile . \
    >"$work/build.log" 2>&1 || { tail -n 20 "$work/build.log" >&2; fail "the image was not built; see $work/build.log"; }
}

await_control_plane() {
  local count
  for ((count = 0; count < 240; count++)); do
    inside control-plane skiff status >/dev/null 2>&1 && inside control-plane skiff token list >/dev/null 2>&1 && return
    sleep 1
  done
  "${compose[@]}" logs --tail=20 control-plane >&2
  fail "the control plane did not become ready"
}

up() {
  need docker docker.io
  docker info >/dev/null 2>&1 || fail "the docker engine does not answer; start it (systemctl start docker) and try again"
  "${compose[@]}" version >/dev/null 2>&1 || fail "docker compose is missing; apt-get install docker-compose"
  build
  "${compose[@]}" up -d >"$work/compose.log" 2>&1 ||
    { tail -n 20 "$work/compose.log" >&2; fail "the containers did not start; see $work/compose.log"; }
  say "three containers run"
  await_control_plane
  say "the control plane is ready"
  local join worker
  join=$(inside control-plane skiff token create --ttl 1h --description "lab $lab")
  for worker in worker-1 worker-2; do
    # shellcheck disable=SC2086  # the words of the command are meant
    inside "$worker" ${join%$'\r'} >"$work/$worker.log" 2>&1 ||
      { cat "$work/$worker.log" >&2; fail "$worker did not join"; }
    say "$worker has joined and is Ready"
  done
  inside control-plane cat /var/lib/skiff/kubeconfig/admin.conf |
    sed -E "s#server: https://.*#server: https://127.0.0.1:${LAB_PORT:-16443}#" >"$work/kubeconfig"
  chmod 600 "$work/kubeconfig"
  cat <<TEXT

The lab is up. Try:
  export KUBECONFIG=$PWD/$work/kubeconfig
  kubectl get nodes -o wide
  kubectl apply -f deploy/samples/hello.yaml && kubectl get pods -o wide
  ${compose[*]} stop worker-2     # its pods come back elsewhere
  make lab-down
TEXT
}

down() {
  "${compose[@]}" down -v --remove-orphans
  rm -f "$work/kubeconfig"
}

case $action in
  up) up ;;
  down) down ;;
  status) "${compose[@]}" ps ;;
  *) fail "usage: lab.sh up|down|status LAB" ;;
esac
