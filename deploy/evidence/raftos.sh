#!/usr/bin/env bash
# Reproduces what docs/decisions/0001-why-not-raftos.md says, in a temporary virtual environment.
# Usage: deploy/evidence/raftos.sh [python]     needs a package index; exits 0 if every finding still holds
set -u
python=${1:-python3}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"$python" -m venv "$work/venv" || exit 2
pip() { "$work/venv/bin/pip" --disable-pip-version-check "$@"; }
run() { "$work/venv/bin/python" "$@"; }
failed=0
finding() { # finding "claim" command...: the command succeeds if the claim holds
  local claim=$1; shift
  if "$@" >"$work/out" 2>&1; then echo "holds:  $claim"; else echo "VOID:   $claim"; sed 's/^/        /' "$work/out" | tail -5; failed=1; fi
}
echo "$("$python" --version), raftos 0.2.6"

not_installable() { ! pip install --quiet raftos==0.2.6; }
finding "raftos: 'pip install raftos' fails (its setup.py needs pkg_resources, its pinned cryptography 1.5.3 does not build)" not_installable

# Force it in: an old setuptools, no build isolation, today's cryptography and msgpack instead of the pinned ones.
pip install --quiet 'setuptools<70' wheel cryptography msgpack >/dev/null 2>&1
pip install --quiet --no-build-isolation --no-deps raftos==0.2.6 >/dev/null 2>&1

not_startable() {
  run - >"$work/start" 2>&1 <<PY
import asyncio, raftos
raftos.configure({"log_path": "$work/log/", "serializer": raftos.serializers.JSONSerializer})
async def main():
    await asyncio.wait_for(raftos.register("127.0.0.1:28101", cluster=["127.0.0.1:28102"]), 3)
asyncio.run(main())
PY
  cat "$work/start"
  grep -q "unexpected keyword argument 'loop'" "$work/start"
}
finding "raftos: forced in, it does not start (asyncio.Queue(loop=...) is gone since Python 3.10)" not_startable

forgets_its_vote() {
  run - <<PY
import asyncio, raftos
from raftos.state import Follower
from raftos.storage import FileStorage
raftos.configure({"log_path": "$work/log/", "serializer": raftos.serializers.JSONSerializer})
FileStorage("node").update({"term": 7, "voted_for": "127.0.0.1:1"})
class Restarted:
    storage = FileStorage("node")
Follower.init_storage(Restarted)
after = FileStorage("node")
print("term", after["term"], "vote", after["voted_for"])
assert after["term"] == 7 and after["voted_for"] is None
PY
}
finding "raftos: a restart keeps the term and clears the vote: the member can vote twice in one term" forgets_its_vote

never_syncs() {
  local folder; folder=$(run -c 'import raftos, os; print(os.path.dirname(raftos.__file__))') || return 1
  ! grep -rqE 'fsync|fdatasync|O_SYNC|O_DSYNC' --include='*.py' "$folder"
}
finding "raftos: nothing in it calls fsync" never_syncs

pip download --quiet --no-deps --no-binary :all: pysyncobj==0.3.14 -d "$work" >/dev/null 2>&1
tar -xzf "$work"/pysyncobj-0.3.14.tar.gz -C "$work" 2>/dev/null
sources="$work/pysyncobj-0.3.14/pysyncobj"
acknowledges_early() {
  [ -f "$sources/syncobj.py" ] || return 1
  ! grep -rqE 'fsync|fdatasync' --include='*.py' "$sources" && ! grep -qE '[lL]og\.flush\(' "$sources/syncobj.py"
}
finding "PySyncObj 0.3.14: never calls fsync, and never flushes its journal before it acknowledges" acknowledges_early
speaks_pickle() { grep -qE 'loads|pickle' "$sources/tcp_connection.py" && grep -q 'import pickle' "$sources/pickle.py"; }
finding "PySyncObj 0.3.14: unpickles what its peers send" speaks_pickle

needs_rust() {
  pip download --quiet --no-deps --no-binary :all: rraft-py==0.2.27 -d "$work" >"$work/rraft" 2>&1
  grep -qiE 'maturin|cargo|rust' "$work/rraft" || { tar -tzf "$work"/rraft_py-*.tar.gz 2>/dev/null || true; } | grep -qE 'Cargo.toml'
}
finding "rraft-py 0.2.27 (and raftify on it): the algorithm is a Rust crate, built by cargo" needs_rust
exit $failed
