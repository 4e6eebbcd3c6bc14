"""Regenerate `skiff_pb` from the contracts in this folder: `make proto`; `--check` says whether they agree.

Only messages and service descriptors are generated: `component_base.rpc` hosts and calls any service from its
descriptor, so no per-service gRPC code is needed.
"""

from __future__ import annotations

import filecmp
import sys
import tempfile
from pathlib import Path

import grpc_tools
from grpc_tools import protoc

ROOT = Path(__file__).resolve().parent.parent
CONTRACTS = ROOT / "proto"
PACKAGE = "skiff_pb"
WELL_KNOWN = Path(grpc_tools.__file__).parent / "_proto"


def generate(target: Path) -> list[Path]:
    """Write the modules below `target`/skiff_pb and return their paths relative to `target`."""
    sources = sorted(CONTRACTS.glob("*/*.proto"))
    names = [f"{PACKAGE}/{path.relative_to(CONTRACTS)}" for path in sources]
    arguments = [
        "protoc",
        f"-I{PACKAGE}={CONTRACTS}",
        f"-I{WELL_KNOWN}",
        f"--python_out={target}",
        f"--pyi_out={target}",
    ]
    if protoc.main([*arguments, *names]) != 0:
        raise SystemExit("protoc refused the contracts; its message is above")
    return sorted(
        path.relative_to(target) for path in target.glob(f"{PACKAGE}/*/*_pb2.py*") if path.suffix in (".py", ".pyi")
    )


def stale() -> list[str]:
    """Names of generated files that differ from what the contracts give now."""
    with tempfile.TemporaryDirectory() as fresh:
        made = generate(Path(fresh))
        return [
            str(p) for p in made if not (ROOT / p).exists() or not filecmp.cmp(Path(fresh) / p, ROOT / p, shallow=False)
        ]


def main() -> None:
    if "--check" in sys.argv[1:]:
        if old := stale():
            raise SystemExit("run `make proto`; stale: " + ", ".join(old))
        return
    for path in generate(ROOT):
        print(path)


if __name__ == "__main__":
    main()
