"""Definitions for tests of custom resources, and waiting until they are served."""

from __future__ import annotations

import itertools
import time
from typing import Any

import httpx

JSON = dict[str, Any]
DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
PATIENCE_SECONDS = 30.0
MERGE = {"content-type": "application/merge-patch+json"}
APPLY = {"content-type": "application/apply-patch+yaml"}
_groups = itertools.count(1)

SPEC: JSON = {
    "type": "object",
    "description": "What it does, and when.",
    "required": ["cron"],
    "properties": {
        "cron": {"type": "string", "pattern": r"^(\S+\s?){5}$", "description": "Minute, hour and so on."},
        "image": {"type": "string"},
        "replicas": {"type": "integer", "minimum": 1, "maximum": 10, "default": 1},
        "color": {"type": "string"},
        "limit": {"x-kubernetes-int-or-string": True},
        "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
        "ports": {
            "type": "array",
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["name"],
            "items": {
                "type": "object",
                "required": ["name"],
                "properties": {"name": {"type": "string"}, "port": {"type": "integer"}},
            },
        },
        "tags": {"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}},
    },
}
STATUS: JSON = {
    "type": "object",
    "properties": {"replicas": {"type": "integer"}, "labelSelector": {"type": "string"}},
}


def version(name: str = "v1", *, storage: bool = True, served: bool = True, spec: JSON | None = None) -> JSON:
    return {
        "name": name,
        "served": served,
        "storage": storage,
        "schema": {"openAPIV3Schema": {"type": "object", "properties": {"spec": spec or SPEC, "status": STATUS}}},
        "subresources": {
            "status": {},
            "scale": {
                "specReplicasPath": ".spec.replicas",
                "statusReplicasPath": ".status.replicas",
                "labelSelectorPath": ".status.labelSelector",
            },
        },
        "additionalPrinterColumns": [
            {"name": "Cron", "type": "string", "jsonPath": ".spec.cron"},
            {"name": "Replicas", "type": "integer", "jsonPath": ".spec.replicas"},
            {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
        ],
        "selectableFields": [{"jsonPath": ".spec.color"}],
    }


def definition(*versions: JSON, group: str = "", scope: str = "Namespaced", **spec: Any) -> JSON:
    """Of CronTabs, in a group of its own."""
    group = group or f"g{next(_groups)}.example.com"
    names = {"plural": "crontabs", "singular": "crontab", "kind": "CronTab", "shortNames": ["ct"]}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"crontabs.{group}"},
        "spec": {"group": group, "scope": scope, "names": names, "versions": list(versions) or [version()], **spec},
    }


def crontab(group: str, name: str, version: str = "v1", **spec: Any) -> JSON:
    return {
        "apiVersion": f"{group}/{version}",
        "kind": "CronTab",
        "metadata": {"name": name},
        "spec": {"cron": "* * * * *", **spec},
    }


def condition(obj: JSON, kind: str) -> str:
    found = [one["status"] for one in obj.get("status", {}).get("conditions") or () if one["type"] == kind]
    return found[0] if found else ""


def establish(api: httpx.Client, made: JSON) -> str:
    """Creates a definition and waits for its kind; returns the group."""
    answer = api.post(DEFINITIONS, json=made)
    assert answer.status_code == 201, answer.text
    wait_for(api, made["metadata"]["name"], "Established")
    group: str = made["spec"]["group"]
    return group


def wait_for(api: httpx.Client, name: str, kind: str, state: str = "True") -> JSON:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        found: JSON = api.get(f"{DEFINITIONS}/{name}").json()
        if condition(found, kind) == state:
            return found
        time.sleep(0.02)
    raise AssertionError(f"{name} did not become {kind}: {found.get('status')}")


def wait_until_gone(api: httpx.Client, path: str) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        if api.get(path).status_code == 404:
            return
        time.sleep(0.02)
    raise AssertionError(f"{path} is still there: {api.get(path).text}")


def collection(group: str, namespace: str, version: str = "v1") -> str:
    return f"/apis/{group}/{version}/namespaces/{namespace}/crontabs"
