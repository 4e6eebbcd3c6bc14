#!/usr/bin/env bash
# Install what a node needs from the distribution: a container runtime, CNI plugins, nftables and a few tools.
# Does nothing when everything is there; explains what to do when it may not or cannot install.
set -euo pipefail

declare -A package_of=(
  [containerd]=containerd [runc]=runc [nft]=nftables [iptables]=iptables [conntrack]=conntrack [ip]=iproute2
  [busybox]=busybox-static [catatonit]=catatonit [etcdctl]=etcd-client [etcd]=etcd-server [mount]=mount [nsenter]=util-linux
  [docker-registry]=docker-registry [curl]=curl
)

missing=()
for tool in "${!package_of[@]}"; do
  command -v "$tool" >/dev/null 2>&1 || missing+=("${package_of[$tool]}")
done
[[ -x /usr/lib/cni/bridge || -x /opt/cni/bin/bridge ]] || missing+=(containernetworking-plugins)
((${#missing[@]})) || exit 0

if [[ $(id -u) -ne 0 ]] || ! command -v apt-get >/dev/null 2>&1; then
  echo "setup: missing on this machine: ${missing[*]}" >&2
  echo "setup: run 'make setup' as root on Debian or Ubuntu, or install these with your distribution's tool." >&2
  echo "setup: going on without them; 'make check' and 'make test-unit' work, clusters do not." >&2
  exit 0
fi

echo "setup: installing ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive
log=$(mktemp)
# Services of these packages stay off: skiff runs a containerd of its own and never touches the host's.
policy=/usr/sbin/policy-rc.d
made_policy=
if [[ ! -e $policy ]]; then
  printf '#!/bin/sh\nexit 101\n' >"$policy" && chmod +x "$policy" && made_policy=1
fi
trap '[[ -n $made_policy ]] && rm -f "$policy"; rm -f "$log"' EXIT
if ! { apt-get update -q && apt-get install -y -q --no-install-recommends "${missing[@]}"; } >"$log" 2>&1; then
  tail -n 20 "$log" >&2
  echo "setup: apt-get could not install: ${missing[*]}" >&2
  exit 1
fi
echo "setup: system packages ready"
