"""The served resources: the built-in ones, and those that appear while running (custom ones, aggregated groups)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from apimachinery.gvk import version_rank
from apimachinery.resources import GROUP_VERSIONS, RESOURCES, ResourceInfo

#: What custom groups get, as upstream's APIServices for them.
DYNAMIC_PRIORITY = 1000


class Catalog:
    """Lookups are plain dictionary reads: they are on the path of every request."""

    def __init__(self, resources: Iterable[ResourceInfo] = RESOURCES) -> None:
        self._by_plural: dict[tuple[str, str, str], ResourceInfo] = {}
        self._listeners: list[Callable[[], None]] = []
        self.generation = 0
        """Changes whenever the set does, for what is derived from it (discovery, OpenAPI)."""
        self._builtin = frozenset((one.group, one.version) for one in GROUP_VERSIONS)
        for info in resources:
            self._by_plural[info.group, info.version, info.plural] = info

    def find(self, group: str, version: str, plural: str) -> ResourceInfo | None:
        return self._by_plural.get((group, version, plural))

    def find_kind(self, group: str, version: str, kind: str) -> ResourceInfo | None:
        for info in self._by_plural.values():
            if info.kind == kind and info.group == group and info.version == version:
                return info
        return None

    def __iter__(self) -> Iterator[ResourceInfo]:
        return iter(self._by_plural.values())

    def stored(self) -> Iterator[ResourceInfo]:
        return (info for info in self if info.is_stored)

    def is_builtin(self, info: ResourceInfo) -> bool:
        return (info.group, info.version) in self._builtin

    def groups(self) -> list[tuple[str, list[str]]]:
        """(group, versions with the preferred one first) in discovery's order; the core group is ""."""
        found: dict[str, list[str]] = {}
        for one in GROUP_VERSIONS:
            found.setdefault(one.group, []).append(one.version)
        dynamic: dict[str, list[str]] = {}
        for info in self:
            if info.version not in found.get(info.group, ()):
                versions = dynamic.setdefault(info.group, [])
                if info.version not in versions:
                    versions.append(info.version)
        for group in sorted(dynamic):
            found.setdefault(group, []).extend(sorted(dynamic[group], key=version_rank))
        return list(found.items())

    def has_group_version(self, group: str, version: str) -> bool:
        return any(name == group and version in versions for name, versions in self.groups())

    def of(self, group: str, version: str) -> list[ResourceInfo]:
        return [info for info in self if info.group == group and info.version == version]

    # -- Changes

    def add(self, info: ResourceInfo) -> None:
        self._by_plural[info.group, info.version, info.plural] = info
        self._changed()

    def remove(self, info: ResourceInfo) -> None:
        self._by_plural.pop((info.group, info.version, info.plural), None)
        self._changed()

    def on_change(self, listener: Callable[[], None]) -> None:
        self._listeners.append(listener)

    def _changed(self) -> None:
        self.generation += 1
        for listener in self._listeners:
            listener()
