#!/usr/bin/env bash
# Build .venv from the hash-checked requirements, install the project in place, compile the API artifact.
set -euo pipefail
cd "$(dirname "$0")/../.."

python=${SKIFF_PYTHON:-python3}
if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
  echo "setup: $python is missing or older than 3.11; install Python 3.11 or set SKIFF_PYTHON" >&2
  exit 1
fi
if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
  if [[ $(id -u) -eq 0 ]] && command -v apt-get >/dev/null 2>&1; then
    echo "setup: installing python3-venv"
    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq python3-venv >/dev/null
  else
    echo "setup: $python lacks the venv module; install python3-venv" >&2
    exit 1
  fi
fi
[[ -x .venv/bin/python ]] || "$python" -m venv .venv
echo "setup: installing Python dependencies into .venv"
.venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes \
  -r requirements/runtime.txt -r requirements/dev.txt 2>&1 | { grep -v '^WARNING: Location' || true; }
.venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e . 2>&1 |
  { grep -v '^WARNING: Location' || true; }
touch .venv/.ready
echo "setup: .venv ready"
