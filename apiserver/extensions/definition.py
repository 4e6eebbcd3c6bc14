"""A CustomResourceDefinition as the server uses it: the resources it describes, one for each version."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import orjson

from apimachinery.gvk import version_rank
from apimachinery.resources import STORAGE_ROOT, ResourceInfo, SubresourceInfo, require

if TYPE_CHECKING:
    from apimachinery.structural.version import CustomVersion

JSON = dict[str, Any]

DEFINITIONS = require("apiextensions.k8s.io/v1", "customresourcedefinitions")
_STATUS_VERBS = ("get", "patch", "update")


class Definition:
    """`data` is the encoded definition. It is kept instead of the decoded one, since schemas may be large."""

    def __init__(self, obj: JSON, data: bytes) -> None:
        self.data = data
        spec, metadata = obj["spec"], obj["metadata"]
        self.name: str = metadata["name"]
        self.group: str = spec["group"]
        self.names: JSON = (obj.get("status") or {}).get("acceptedNames") or {}
        self.namespaced = spec["scope"] == "Namespaced"
        self.conversion: JSON = spec.get("conversion") or {}
        self.signature = _signature(obj)
        self.storage = next(one["name"] for one in spec["versions"] if one.get("storage"))
        self.served = [one["name"] for one in spec["versions"] if one.get("served")]
        self.versions: Mapping[str, CustomVersion] = {one["name"]: self._version(spec, one) for one in spec["versions"]}
        for one in self.versions.values():
            one.versions = self.versions
        self.selectable = tuple(dict.fromkeys(path for one in self.versions.values() for path in one.selectable))
        self.resources = {
            name: self._resource(spec, version)
            for name, version in self.versions.items()
            if name in self.served or name == self.storage
        }

    @property
    def by_webhook(self) -> bool:
        return self.conversion.get("strategy") == "Webhook" and len(self.versions) > 1

    def _version(self, spec: JSON, version: JSON) -> CustomVersion:
        from apimachinery.structural.version import CustomVersion

        name: str = version["name"]
        slim = {key: value for key, value in version.items() if key != "schema"}
        found = CustomVersion(
            self.group,
            self.names["kind"],
            slim,
            lambda: schema_of(self.data, name),
            hashlib.sha256(f"{self.signature} {name}".encode()).hexdigest()[:32],
            bool(spec.get("preserveUnknownFields")),
        )
        if version.get("deprecated"):
            found.deprecation = version.get("deprecationWarning") or self._deprecation(spec, name)
        return found

    def _deprecation(self, spec: JSON, name: str) -> str:
        kind = spec["names"]["kind"]
        text = f"{self.group}/{name} {kind} is deprecated"
        better = [
            one["name"]
            for one in spec["versions"]
            if one.get("served") and not one.get("deprecated") and version_rank(one["name"]) < version_rank(name)
        ]
        return f"{text}; use {self.group}/{min(better, key=version_rank)} {kind}" if better else text

    def _resource(self, spec: JSON, version: CustomVersion) -> ResourceInfo:
        names = self.names
        subresources = []
        if version.scale is not None:
            subresources.append(SubresourceInfo("scale", "Scale", "autoscaling", "v1", _STATUS_VERBS))
        if version.has_status:
            subresources.append(SubresourceInfo("status", names["kind"], self.group, version.name, _STATUS_VERBS))
        return ResourceInfo(
            group=self.group,
            version=version.name,
            kind=names["kind"],
            plural=names["plural"],
            singular=names.get("singular") or "",
            short_names=tuple(names.get("shortNames") or ()),
            namespaced=self.namespaced,
            categories=tuple(names.get("categories") or ()),
            subresources=tuple(subresources),
            list_kind=names.get("listKind") or "",
            storage_group=self.group,
            storage_version=self.storage,
            etcd_prefix=f"{STORAGE_ROOT}/{self.group}/{names['plural']}",
            custom=version,
        )


def _signature(obj: JSON) -> str:
    """Equal as long as nothing has changed that makes a difference for serving."""
    metadata, status = obj["metadata"], obj.get("status") or {}
    names = orjson.dumps(status.get("acceptedNames"), option=orjson.OPT_SORT_KEYS).decode()
    return f"{metadata.get('uid')} {metadata.get('generation')} {names}"


def schema_of(data: bytes, version: str) -> JSON | None:
    for one in orjson.loads(data)["spec"]["versions"]:
        if one["name"] == version:
            found: JSON | None = (one.get("schema") or {}).get("openAPIV3Schema")
            return found
    return None


def condition(obj: JSON, kind: str) -> JSON | None:
    for one in (obj.get("status") or {}).get("conditions") or ():
        if one.get("type") == kind:
            found: JSON = one
            return found
    return None


def is_true(obj: JSON, kind: str) -> bool:
    found = condition(obj, kind)
    return found is not None and found.get("status") == "True"
