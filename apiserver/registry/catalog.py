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
        self._by_kind: dict[tuple[str, str, str], ResourceInfo] = {}
        self._by_version: dict[tuple[str, str], dict[str, ResourceInfo]] = {}
        self._listeners: list[Callable[[], None]] = []
        self.generation = 0
        """Changes whenever the set does, for what is derived from it (discovery, OpenAPI)."""
        self._builtin = frozenset((one.group, one.version) for one in GROUP_VERSIONS)
        for info in resources:
            self._insert(info)

    def find(self, group: str, version: str, plural: str) -> ResourceInfo | None:
        return self._by_plural.get((group, version, plural))

    def find_kind(self, group: str, version: str, kind: str) -> ResourceInfo | None:
        return self._by_kind.get((group, version, kind))

    def __iter__(self) -> Iterator[ResourceInfo]:
        return iter(tuple(self._by_plural.values()))  # documents are built beside the loop, and it may change

    def stored(self) -> Iterator[ResourceInfo]:
        return (info for info in self if info.is_stored)

    def is_builtin(self, info: ResourceInfo) -> bool:
        return info.custom is None and (info.group, info.version) in self._builtin

    def is_builtin_version(self, group: str, version: str) -> bool:
        return (group, version) in self._builtin

    def groups(self) -> list[tuple[str, list[str]]]:
        """(group, versions with the preferred one first) in discovery's order; the core group is ""."""
        found: dict[str, list[str]] = {}
        for one in GROUP_VERSIONS:
            found.setdefault(one.group, []).append(one.version)
        dynamic: dict[str, list[str]] = {}
        for group, version in self._by_version:
            if (group, version) not in self._builtin:
                dynamic.setdefault(group, []).append(version)
        for group in sorted(dynamic):
            found.setdefault(group, []).extend(sorted(dynamic[group], key=version_rank))
        return list(found.items())

    def has_group_version(self, group: str, version: str) -> bool:
        return (group, version) in self._by_version or (group, version) in self._builtin

    def of(self, group: str, version: str) -> list[ResourceInfo]:
        return list(self._by_version.get((group, version), {}).values())

    # -- Changes

    def add(self, info: ResourceInfo) -> None:
        """In the place of one with the same group, version and plural, if there is such."""
        self._take_out(info)
        self._insert(info)
        self._changed()

    def remove(self, info: ResourceInfo) -> None:
        self._take_out(info)
        self._changed()

    def _insert(self, info: ResourceInfo) -> None:
        self._by_plural[info.group, info.version, info.plural] = info
        self._by_kind.setdefault((info.group, info.version, info.kind), info)
        self._by_version.setdefault((info.group, info.version), {})[info.plural] = info

    def _take_out(self, info: ResourceInfo) -> None:
        old = self._by_plural.pop((info.group, info.version, info.plural), None)
        if old is None:
            return
        if self._by_kind.get((old.group, old.version, old.kind)) is old:
            del self._by_kind[old.group, old.version, old.kind]
        left = self._by_version[old.group, old.version]
        del left[old.plural]
        if not left:
            del self._by_version[old.group, old.version]

    def on_change(self, listener: Callable[[], None]) -> None:
        self._listeners.append(listener)

    def _changed(self) -> None:
        self.generation += 1
        for listener in self._listeners:
            listener()
