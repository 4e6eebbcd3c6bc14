"""The JSON Schemas of the built-in API, as the package `kubernetes-validate` ships them.

They are read once per process, when first asked for (8 ms); only the API server and the command line ever ask.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import orjson

VERSION = "v1.36.0"
REFERENCE_PREFIX = "#/$defs/"


def file() -> Path:
    """Where the schemas lie; found without importing the package, whose own imports are slow."""
    spec = find_spec("kubernetes_validate")
    if spec is None or spec.origin is None:
        raise FileNotFoundError("the package kubernetes-validate is missing: run `make setup`")
    return Path(spec.origin).parent / "kubernetes-json-schema" / f"{VERSION}-local" / "_definitions.json"


def load() -> dict[str, dict[str, Any]]:
    """Every definition by its full name, descriptions included: some 5 MB, so keep only what you need of it."""
    definitions: dict[str, dict[str, Any]] = orjson.loads(file().read_bytes())["$defs"]
    return definitions


def short_name(name: str) -> str:
    """`io.k8s.api.apps.v1.DeploymentSpec` -> `DeploymentSpec`."""
    return name.rpartition(".")[2]
