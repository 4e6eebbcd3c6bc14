"""The user's own kubeconfig: our context goes in and out, all else in the file stays as it was.

As minikube does: `up` adds cluster, user and context `skiff` and makes it current; `down --purge` takes them out.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

SECTIONS = ("clusters", "contexts", "users")


class KubeconfigError(Exception):
    """The file is there but is no kubeconfig; it is left alone."""


def path_of_user(environment: Mapping[str, str]) -> Path:
    """The first file of $KUBECONFIG, else ~/.kube/config: where kubectl would write."""
    first = environment.get("KUBECONFIG", "").split(":")[0]
    return Path(first) if first else Path(environment.get("HOME", "/root")) / ".kube" / "config"


def add_context(existing: dict[str, Any] | None, ours: dict[str, Any], name: str) -> dict[str, Any]:
    """`ours` holds one cluster, user and context; they replace those called `name`."""
    merged: dict[str, Any] = {"apiVersion": "v1", "kind": "Config", "preferences": {}, **(existing or {})}
    for section in SECTIONS:
        others = [item for item in merged.get(section) or [] if item.get("name") != name]
        merged[section] = [*others, *ours[section]]
    merged["current-context"] = name
    return merged


def remove_context(existing: dict[str, Any], name: str) -> dict[str, Any]:
    left = dict(existing)
    for section in SECTIONS:
        left[section] = [item for item in existing.get(section) or [] if item.get("name") != name]
    if left.get("current-context") == name:
        left["current-context"] = left["contexts"][0]["name"] if left["contexts"] else ""
    return left


def admin_context(name: str, server: str, ca: str, certificate: str, key: str) -> dict[str, Any]:
    """Cluster, user and context called `name`; the three data arguments are base64."""
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": name, "cluster": {"server": server, "certificate-authority-data": ca}}],
        "users": [{"name": name, "user": {"client-certificate-data": certificate, "client-key-data": key}}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": name, "namespace": "default"}}],
        "current-context": name,
    }


def read(path: Path) -> dict[str, Any] | None:
    try:
        content = yaml.safe_load(path.read_text())
    except FileNotFoundError:
        return None
    except (OSError, yaml.YAMLError, UnicodeDecodeError) as error:
        raise KubeconfigError(f"{path} cannot be read as a kubeconfig: {error}") from error
    if content is None:
        return None
    if not isinstance(content, dict) or any(not isinstance(content.get(s) or [], list) for s in SECTIONS):
        raise KubeconfigError(f"{path} is not a kubeconfig; move it aside or set KUBECONFIG")
    return content


def write(path: Path, content: dict[str, Any]) -> None:
    """0600 and atomic: the file holds keys, possibly of other clusters."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o750)
    part = path.with_name(path.name + ".skiff-part")
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        yaml.safe_dump(content, file, sort_keys=False)
    if path.exists() and not path.is_symlink():
        owner = path.stat()
        os.chown(part, owner.st_uid, owner.st_gid)
    part.replace(path.resolve() if path.is_symlink() else path)
