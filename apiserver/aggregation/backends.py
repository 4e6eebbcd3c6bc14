"""Which group versions other servers answer, and in what order discovery names all of them.

Derived from the APIService objects as they change; a request pays one look into a dictionary, and nothing at all while
no APIService names a Service.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from apimachinery import resources
from apimachinery.gvk import version_rank
from apimachinery.resources import ResourceInfo
from apiserver.ports import Objects

JSON = dict[str, Any]
GROUP = "apiregistration.k8s.io"
#: Where the apiserver decides by what is stored here, a server elsewhere must not answer in its place.
ALWAYS_LOCAL = frozenset(
    {
        ("", "namespaces"),
        ("apiregistration.k8s.io", "apiservices"),
        ("apiextensions.k8s.io", "customresourcedefinitions"),
    }
)


@dataclass(frozen=True, slots=True)
class Backend:
    """The server behind one APIService."""

    name: str
    group: str
    version: str
    namespace: str
    service: str
    port: int
    authority: bytes
    """PEM; empty for the host's own trust."""
    verify: bool
    available: bool
    group_priority: int
    version_priority: int

    @property
    def server_name(self) -> str:
        return f"{self.service}.{self.namespace}.svc"

    @property
    def path(self) -> str:
        """What it has to answer under, discovery of its version first of all."""
        return f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"


class Backends:
    def __init__(self, objects: Objects) -> None:
        self._services: dict[str, JSON] = {}
        self._delegated: dict[tuple[str, str], Backend] = {}
        self._listeners: list[Callable[[], None]] = []
        self.generation = 0
        """Changes whenever any APIService does, for what is derived from them."""
        objects.on_change(info(), self._changed)

    def find(self, group: str, version: str) -> Backend | None:
        """None for what is answered here, or not at all."""
        return self._delegated.get((group, version)) if self._delegated else None

    def for_path(self, path: str, group: str, version: str, resource: str) -> Backend | None:
        """Whose a request is: its path, and what of a resource's URL it has."""
        if not self._delegated:
            return None
        if not version:
            parts = path.split("/", 4)
            if len(parts) < 4 or parts[1] != "apis":
                return None
            group, version = parts[2], parts[3]
        found = self._delegated.get((group, version))
        return None if found is not None and (group, resource) in ALWAYS_LOCAL else found

    def all(self) -> list[Backend]:
        return sorted(self._delegated.values(), key=lambda one: one.name)

    def turned_local(self) -> list[str]:
        """Names of those that had a Service once, or were made by an older server: their condition does not say so."""
        found = []
        for name, obj in self._services.items():
            conditions = (obj.get("status") or {}).get("conditions") or ()
            if not obj["spec"].get("service") and not any(one.get("reason") == "Local" for one in conditions):
                found.append(name)
        return found

    def order(self, groups: Iterable[tuple[str, list[str]]]) -> list[tuple[str, list[str]]]:
        """Groups and versions, those of backends among them, by the priorities that their APIServices give them."""
        versions = {group: list(found) for group, found in groups}
        for backend in self._delegated.values():
            known = versions.setdefault(backend.group, [])
            if backend.version not in known:
                known.append(backend.version)
        rank: dict[str, int] = {}
        version_priority: dict[tuple[str, str], int] = {}
        for obj in self._services.values():
            spec = obj["spec"]
            group, version = spec.get("group") or "", spec["version"]
            rank[group] = max(rank.get(group, 0), spec.get("groupPriorityMinimum") or 0)
            version_priority[group, version] = spec.get("versionPriority") or 0
        for group, found in versions.items():
            found.sort(key=lambda one, group=group: (-version_priority.get((group, one), 0), version_rank(one)))  # type: ignore[misc]
        if not rank:
            return list(versions.items())
        place = {group: index for index, group in enumerate(versions)}
        return sorted(
            versions.items(),
            key=lambda one: (-rank.get(one[0], 0), one[0] if one[0] not in place else "", place[one[0]]),
        )

    def on_change(self, listener: Callable[[], None]) -> None:
        self._listeners.append(listener)

    def _changed(self, old: JSON | None, new: JSON | None) -> None:
        name = (new or old or {})["metadata"]["name"]
        if old is not None:
            spec = old["spec"]
            key = (spec.get("group") or "", spec["version"])
            if (present := self._delegated.get(key)) is not None and present.name == name:
                del self._delegated[key]
        if new is None:
            self._services.pop(name, None)
        else:
            self._services[name] = new
            if new["spec"].get("service"):
                backend = backend_of(new)
                self._delegated[backend.group, backend.version] = backend
        self.generation += 1
        for listener in self._listeners:
            listener()


def backend_of(obj: JSON) -> Backend:
    spec = obj["spec"]
    service = spec["service"]
    try:
        authority = base64.b64decode(spec.get("caBundle") or "", validate=True)
    except (binascii.Error, ValueError):
        authority = b"not base64"
    return Backend(
        obj["metadata"]["name"],
        spec.get("group") or "",
        spec["version"],
        service["namespace"],
        service["name"],
        int(service.get("port") or 443),
        authority,
        not spec.get("insecureSkipTLSVerify"),
        is_available(obj),
        int(spec.get("groupPriorityMinimum") or 0),
        int(spec.get("versionPriority") or 0),
    )


def is_available(obj: JSON) -> bool:
    conditions = (obj.get("status") or {}).get("conditions") or ()
    return any(one.get("type") == "Available" and one.get("status") == "True" for one in conditions)


def info() -> ResourceInfo:
    found = resources.find(GROUP, "v1", "apiservices")
    assert found is not None
    return found
