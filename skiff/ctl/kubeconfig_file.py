"""Changing a kubeconfig file: the right one of several, as a whole or not at all."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from kubeclient.kubeconfig import KubeConfigError
from skiff.ctl.connection import Flags
from skiff.ctl.printing.documents import to_yaml
from skiff.ctl.session import kubeconfig_paths

_EMPTY: dict[str, Any] = {"apiVersion": "v1", "kind": "Config", "clusters": [], "contexts": [], "users": []}


@contextlib.contextmanager
def changed(flags: Flags, key: str, name: str = "") -> Iterator[dict[str, Any]]:
    """The document of the file that holds `key` (its entry `name`), or else of the first; written back at the end."""
    paths = kubeconfig_paths(flags)
    documents = {path: _read(path) for path in paths if path.exists()}
    chosen = next((path for path, document in documents.items() if _holds(document, key, name)), None)
    path = chosen or next(iter(documents), paths[0])
    document = documents.get(path) or dict(_EMPTY)
    yield document
    _write(path, to_yaml(document))


def _holds(document: dict[str, Any], key: str, name: str) -> bool:
    value = document.get(key)
    if not name:
        return bool(value)
    return isinstance(value, list) and any(one.get("name") == name for one in value)


def _read(path: Path) -> dict[str, Any]:
    try:
        document = yaml.safe_load(path.read_text())
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise KubeConfigError(f"kubeconfig {path} cannot be read: {error}") from error
    return document if isinstance(document, dict) else dict(_EMPTY)


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # made for its owner only
    try:
        with os.fdopen(descriptor, "w") as handle:
            handle.write(text)
        os.replace(name, path)
    except BaseException:
        os.unlink(name)
        raise
