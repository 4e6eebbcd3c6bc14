"""Server-side apply: the applier states what it wants, the server merges it and keeps account of who owns what."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from apimachinery.errors import StatusError, apply_conflict, bad_request
from apimachinery.fields import quote
from apimachinery.patch import fieldset, granular, last_applied, managed, type_check
from apimachinery.patch.fieldset import Node as Fields
from apimachinery.patch.managed import Manager, Managers, Owned
from apimachinery.resources import ResourceInfo
from apimachinery.schema.decode import parse, typed
from apimachinery.schema.json_body import SyntaxProblem
from apimachinery.schema.nodes import DecodeError, Field

_BEFORE = "before-first-apply"


def _parse(data: bytes) -> tuple[Any, list[str]]:
    """JSON is read as such, which is faster; what looks like it need only be YAML (`{"a": 1,}`)."""
    if data[:1] == b"{":
        try:
            return parse(data, "application/json")
        except SyntaxProblem:
            pass
    return parse(data, "application/yaml")


def decode(info: ResourceInfo, data: bytes) -> tuple[dict[str, Any], list[str]]:
    """The configuration in a body, which may be YAML or JSON, and its duplicate fields; StatusError 400."""
    try:
        config, duplicates = _parse(data)
    except SyntaxProblem as error:
        raise bad_request(f"error decoding YAML: {error}") from None
    if not isinstance(config, dict):
        raise bad_request("error decoding YAML: the patch must be an object")
    version, kind = config.get("apiVersion") or "", config.get("kind") or ""
    if version != info.api_version:
        raise bad_request(
            f"Incorrect version specified in apply patch. Specified patch version: {version}, "
            f"expected: {info.api_version}"
        )
    if kind != info.kind:
        raise bad_request(f"Incorrect kind specified in apply patch. Specified: {kind}, expected: {info.kind}")
    if _metadata(config).get("managedFields") is not None:
        raise bad_request("metadata.managedFields must be nil")
    return config, duplicates


def apply(
    info: ResourceInfo,
    live: dict[str, Any] | None,
    config: dict[str, Any],
    manager: str,
    force: bool,
    now: str,
    subresource: str = "",
) -> dict[str, Any]:
    """The object after the configuration has been applied by `manager`, its managed fields included.

    `live` is None when the object is created. StatusError 409 names every field another manager owns with another
    value, unless `force` takes them over. Defaults are the caller's business, after this.
    """
    root = managed.root(info)
    wanted = _typed(info, config, root)
    current = managed.bare(live) if live is not None else {"apiVersion": info.api_version, "kind": info.kind}
    try:
        managers = _managers(info, live, current, root, now)
        result = _Applier(info, root, managers, subresource, now).run(current, wanted, manager, force, live is None)
    except granular.KeyMissing as error:
        raise _failed(info, config, str(error)) from None
    return last_applied.synced(result, config) if manager == last_applied.KUBECTL else result


def _typed(info: ResourceInfo, config: dict[str, Any], root: Field) -> dict[str, Any]:
    """The configuration in canonical spelling; whatever the schema does not know is an error here, not a warning."""
    try:
        decoded = typed(info, config)
    except DecodeError as error:
        if wrong := type_check.complaints(config, root):
            raise _failed(info, config, wrong) from None
        raise _inconvertible(info, config, str(error)) from None
    wrong = type_check.complaints(config, root)
    if not wrong and decoded.unknown:
        name = decoded.unknown[0].partition(" field ")[2].strip('"')
        wrong = f".{name}: field not declared in schema"
    if wrong:
        raise _failed(info, config, wrong)
    return decoded.obj


def _metadata(config: dict[str, Any]) -> dict[str, Any]:
    """A client may have put anything there."""
    metadata = config.get("metadata")
    return metadata if isinstance(metadata, dict) else {}


def _failed(info: ResourceInfo, config: dict[str, Any], cause: str) -> StatusError:
    return bad_request(f"failed to create typed patch object ({_named(info, config)}): {cause}")


def _inconvertible(info: ResourceInfo, config: dict[str, Any], cause: str) -> StatusError:
    """It has the right shape and a value that the kind cannot hold."""
    return bad_request(
        f"failed to convert new object ({_named(info, config)}) to proper version: "
        f"unable to convert unstructured object to {_kind(info)}: {cause}"
    )


def _named(info: ResourceInfo, config: dict[str, Any]) -> str:
    metadata = _metadata(config)
    return f"{metadata.get('namespace', '')}/{metadata.get('name', '')}; {_kind(info)}"


def _kind(info: ResourceInfo) -> str:
    return f"{info.group}/{info.version}, Kind={info.kind}"


def _managers(
    info: ResourceInfo, live: dict[str, Any] | None, current: dict[str, Any], root: Field, now: str
) -> Managers:
    """The object's managers; fields of an object without any belong to one made up for them."""
    if live is None:
        return {}
    managers = managed.read((live.get("metadata") or {}).get("managedFields"), trusted=True)
    if managers:
        return managers
    before = managed.manager_of(_BEFORE, managed.UPDATE, info, "")
    found = granular.compare(managed.empty_object(root), current, root)
    return managed.record({}, found, before, info.api_version, now)


class _Applier:
    """One application of one configuration."""

    def __init__(self, info: ResourceInfo, root: Field, managers: Managers, subresource: str, now: str) -> None:
        self._info = info
        self._root = root
        self._managers = managers
        self._subresource = subresource
        self._now = now
        self._ignored = managed.ignored(info, subresource)

    def run(
        self, live: dict[str, Any], config: dict[str, Any], name: str, force: bool, created: bool
    ) -> dict[str, Any]:
        manager = managed.manager_of(name, managed.APPLY, self._info, self._subresource)
        merged: dict[str, Any] = granular.merge(live, config, self._root)
        fields = fieldset.without_prefixes(granular.to_fields(config, self._root), self._ignored)
        last = self._managers.get(manager)
        managers = dict(self._managers)
        managers[manager] = Owned(fields, self._info.api_version, last.time if last else "")
        if last is not None:
            merged = self._prune(merged, last.fields, managers)
        before = managed.empty_object(self._root) if created else live
        found = granular.compare(before, merged, self._root).without(self._ignored)
        left, conflicts = managed.take(managers, found, without=manager)
        if conflicts and not force:
            self._refuse(conflicts, live, name)
        changed = created or merged != live
        return self._finish(merged, left, manager, changed)

    def _refuse(self, conflicts: Managers, live: dict[str, Any], name: str) -> None:
        """Raises, unless every conflict is one of kubectl with its own client-side past."""
        if name == last_applied.KUBECTL:
            mine = last_applied.owned(live, self._info.api_version, self._root)
            rest = {
                one: replace(owned, fields=fieldset.difference(owned.fields, mine)) for one, owned in conflicts.items()
            }
            conflicts = {one: owned for one, owned in rest.items() if owned.fields}
        if conflicts:
            raise _conflict(conflicts)

    def _finish(self, merged: dict[str, Any], managers: Managers, manager: Manager, changed: bool) -> dict[str, Any]:
        mine = managers[manager]
        fields = managed.strip(mine.fields)
        if fields:
            time = self._now if changed or not mine.time else mine.time
            managers[manager] = Owned(fields, mine.api_version, time)
        else:
            del managers[manager]
        result = merged | {"metadata": dict(merged.get("metadata") or {})}
        managed.store(result, managers)
        return result

    def _prune(self, merged: dict[str, Any], last: Fields, managers: Managers) -> dict[str, Any]:
        """Without what this manager applied before, does not now, and nobody else claims."""
        owned = fieldset.union_all([one.fields for one in managers.values()])
        if not fieldset.difference(managed.strip(last), owned):
            return merged
        named = self._named
        before, everything = named(last), named(granular.to_fields(merged, self._root))
        pruned = granular.remove(merged, before, self._root)
        keep = fieldset.union(named(granular.to_fields(pruned, self._root)), named(owned))
        pruned = granular.remove(merged, fieldset.difference(everything, keep), self._root)
        gone = fieldset.difference(everything, named(granular.to_fields(pruned, self._root)))
        result: dict[str, Any] = granular.remove(merged, fieldset.intersection(gone, before), self._root)
        return result

    def _named(self, fields: Fields) -> Fields:
        return granular.with_named_fields(fields, self._root)


def _conflict(conflicts: Managers) -> StatusError:
    found = [
        (manager, fieldset.text(path)) for manager, owned in conflicts.items() for path in fieldset.paths(owned.fields)
    ]
    causes = [
        {"reason": "FieldManagerConflict", "message": f"conflict with {manager}", "field": path}
        for manager, path in found
    ]
    if len(found) == 1:
        manager, path = found[0]
        return apply_conflict(causes, f"Apply failed with 1 conflict: conflict with {manager}: {path}")
    lines = []
    for manager in sorted(conflicts, key=lambda one: quote(one.name)):
        lines.append(f"conflicts with {manager}:")
        lines.extend(f"- {path}" for owner, path in found if owner == manager)
    return apply_conflict(causes, f"Apply failed with {len(found)} conflicts: {chr(10).join(lines)}")
