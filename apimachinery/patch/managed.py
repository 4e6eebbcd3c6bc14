"""Who manages which fields of an object: reading, updating and writing `metadata.managedFields`."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, NamedTuple

from apimachinery.alike import Remembered, content
from apimachinery.fields import quote
from apimachinery.patch import fieldset, granular
from apimachinery.patch.fieldset import Node as Fields
from apimachinery.resources import ResourceInfo
from apimachinery.schema.build import object_meta, type_of
from apimachinery.schema.nodes import Field, ListNode, Node, ObjectNode

UPDATE, APPLY = "Update", "Apply"
_MAX_UPDATERS = 10
_BUCKET = "ancient-changes"
_MAX_NAME = 128
#: Identity and bookkeeping belong to the server; nobody manages them.
_NEVER_MANAGED: Fields = {
    "f:apiVersion": {},
    "f:kind": {},
    "f:metadata": {
        ".": {},
        **{
            f"f:{name}": {}
            for name in (
                "name",
                "namespace",
                "creationTimestamp",
                "selfLink",
                "uid",
                "clusterName",
                "generation",
                "managedFields",
                "resourceVersion",
            )
        },
    },
}
_IDENTITY = frozenset(name[2:] for name in _NEVER_MANAGED["f:metadata"])
#: Struct fields which every object of a kind has, empty or not: their being there is nobody's doing.
_ALWAYS_THERE = frozenset({"metadata", "spec", "status", "template", "strategy", "updateStrategy", "jobTemplate"})

_NOTHING: dict[str, Any] = {"metadata": {}}


class Manager(NamedTuple):
    """What tells two entries apart. Appliers have one entry whatever the version, so theirs is left empty."""

    name: str
    operation: str
    api_version: str
    subresource: str

    def __str__(self) -> str:
        """As conflicts name it."""
        text = quote(self.name)
        if self.subresource:
            text += f" with subresource {quote(self.subresource)}"
        return f"{text} using {self.api_version}" if self.operation == UPDATE else text


@dataclass(frozen=True, slots=True)
class Owned:
    """The fields of one manager, in the version it wrote them, and when."""

    fields: Fields
    api_version: str
    time: str


Managers = dict[Manager, Owned]


def manager_of(name: str, operation: str, info: ResourceInfo, subresource: str) -> Manager:
    return Manager(name, operation, info.api_version if operation == UPDATE else "", subresource)


def default_manager(user_agent: str) -> str:
    """Who says no name is called after the program in its User-Agent: the part before the first slash."""
    return user_agent.partition("/")[0][:_MAX_NAME]


def root(info: ResourceInfo) -> Field:
    """The type of the whole object; where no definition is at hand, metadata is typed and the rest deduced."""
    if info.custom is not None:
        return info.custom.typed
    node: Node | None = type_of(info.group, info.version, info.kind)
    if node is None:
        node = ObjectNode(f"{info.group}.{info.version}.{info.kind}")
        node.fields = {"metadata": Field("metadata", object_meta())}
        node.custom = True
    return Field("", node)


def ignored(info: ResourceInfo, subresource: str) -> Fields:
    """What a request to this resource or subresource cannot change."""
    if subresource == "status":
        return {"f:spec": {}}
    return {"f:status": {}} if not subresource and info.subresource("status") is not None else {}


def read(entries: Any, trusted: bool = False) -> Managers:
    """The managers of an object; entries that are malformed make the whole list void, as if there were none.

    Entries that come from the store have been checked when they were put there.
    """
    managers: Managers = {}
    for entry in entries or ():
        if not isinstance(entry, dict) or entry.get("operation") not in (UPDATE, APPLY):
            return {}
        fields = entry.get("fieldsV1") or {}
        if entry.get("fieldsType") not in (None, "", "FieldsV1") or not (trusted or fieldset.check(fields)):
            return {}
        operation, version = str(entry["operation"]), str(entry.get("apiVersion", ""))
        manager = Manager(
            str(entry.get("manager", "")),
            operation,
            version if operation == UPDATE else "",
            str(entry.get("subresource", "")),
        )
        owned = Owned(fields, version, str(entry.get("time", "")))
        if manager in managers:
            owned = replace(owned, fields=fieldset.union(managers[manager].fields, fields))
        managers[manager] = owned
    return managers


def write(managers: Managers) -> list[dict[str, Any]]:
    """The entries in their canonical order."""
    entries = [
        _entry(
            manager.name,
            manager.operation,
            owned.api_version,
            owned.time,
            fieldset.in_order(owned.fields),
            manager.subresource,
        )
        for manager, owned in managers.items()
    ]
    entries.sort(
        key=lambda one: (
            one["operation"],
            one.get("time", ""),
            one["manager"],
            one["apiVersion"],
            one.get("subresource", ""),
        )
    )
    return entries


def _entry(name: str, operation: str, api_version: str, time: str, fields: Fields, subresource: str) -> dict[str, Any]:
    """`fields` are in order already."""
    entry: dict[str, Any] = {"manager": name, "operation": operation, "apiVersion": api_version}
    if time:
        entry["time"] = time
    entry["fieldsType"] = "FieldsV1"
    entry["fieldsV1"] = fields
    if subresource:
        entry["subresource"] = subresource
    return entry


def store(obj: dict[str, Any], managers: Managers) -> None:
    metadata = obj.setdefault("metadata", {})
    if managers:
        metadata["managedFields"] = write(managers)
    else:
        metadata.pop("managedFields", None)


def bare(obj: dict[str, Any]) -> dict[str, Any]:
    """The object without its managers, sharing everything else."""
    metadata = obj.get("metadata")
    if not metadata or "managedFields" not in metadata:
        return obj
    return obj | {"metadata": {name: value for name, value in metadata.items() if name != "managedFields"}}


def empty_object(typed: Field) -> dict[str, Any]:
    """What an object is compared with when it is created: the structs and lists every object of the kind has.

    The same one each time, so look, but do not touch.
    """
    if not isinstance(typed.node, ObjectNode) or typed.node.custom:
        return _NOTHING
    return _empty(typed.node)


@lru_cache(maxsize=512)
def _empty(node: ObjectNode) -> dict[str, Any]:
    empty: dict[str, Any] = {}
    for name, field in node.fields.items():
        if isinstance(field.node, ObjectNode) and (field.required or name in _ALWAYS_THERE):
            empty[name] = _empty(field.node)
        elif isinstance(field.node, ListNode) and field.required:
            empty[name] = []
    return empty


def take(managers: Managers, found: granular.Comparison, without: Manager | None = None) -> tuple[Managers, Managers]:
    """The managers without what has been changed or removed under them, and what the changes took from each."""
    changed = fieldset.union(found.modified, found.added)
    left: Managers = {}
    conflicts: Managers = {}
    for manager, owned in managers.items():
        if manager == without:
            left[manager] = owned
            continue
        fields = owned.fields
        taken = fieldset.intersection(fields, changed) if changed else {}
        if taken:
            conflicts[manager] = replace(owned, fields=taken)
            fields = fieldset.difference(fields, taken)
        if found.removed:
            fields = fieldset.difference(fields, found.removed)
        if fields:
            left[manager] = owned if fields is owned.fields else replace(owned, fields=fields)
    return left, conflicts


def strip(fields: Fields) -> Fields:
    return fieldset.difference(fields, _NEVER_MANAGED)


def record(managers: Managers, found: granular.Comparison, manager: Manager, api_version: str, now: str) -> Managers:
    """The managers after `manager` has changed what was found, by anything but apply."""
    left, _ = take(managers, found)
    mine = strip(fieldset.union(found.modified, found.added))
    if not mine:
        return left
    before = left.get(manager)
    if before is not None:
        mine = fieldset.union(before.fields, mine)
    left[manager] = Owned(mine, api_version, now)
    return _capped(left)


def _capped(managers: Managers) -> Managers:
    """At most ten entries of updaters: the oldest share one bucket per version."""
    updaters = sorted((one for one in managers if one.operation == UPDATE), key=lambda one: (managers[one].time, one))
    surplus = len(updaters) - _MAX_UPDATERS
    buckets = {one.api_version for one in updaters if one.name == _BUCKET}
    shared: dict[Manager, list[Owned]] = {}
    for manager in updaters:
        if surplus <= 0:
            break
        if manager.name == _BUCKET:
            continue
        shared.setdefault(Manager(_BUCKET, UPDATE, manager.api_version, ""), []).append(managers.pop(manager))
        surplus -= 1 if manager.api_version in buckets else 0
        buckets.add(manager.api_version)
    for bucket, several in shared.items():
        before = [managers[bucket]] if bucket in managers else []
        fields = fieldset.union_all([one.fields for one in (*before, *several)])
        managers[bucket] = Owned(fields, several[-1].api_version, several[-1].time)
    return managers


_of_alike: Remembered[Fields] = Remembered()


def _of_new(info: ResourceInfo, obj: dict[str, Any]) -> Fields:
    """What the creator of an object owns, in its canonical order; shared with objects like it.

    It depends on names and on lists' keys, not on what is in flat maps.
    """
    text = content([info.api_version, info.kind, _outline(obj)]) if info.custom is None else b""
    found = _of_alike.get(text) if text else None
    if found is None:
        found = fieldset.in_order(_created(info, obj))
        if text:
            _of_alike.keep(text, found)
    return found


def _created(info: ResourceInfo, obj: dict[str, Any]) -> Fields:
    typed = root(info)
    try:
        found = granular.compare(empty_object(typed), obj, typed).without(ignored(info, ""))
    except granular.KeyMissing:
        return {}
    return strip(fieldset.union(found.modified, found.added))


def _outline(obj: dict[str, Any]) -> dict[str, Any]:
    outline = {name: _keys(value) for name, value in obj.items()}
    metadata = obj.get("metadata") or {}
    outline["metadata"] = {name: _keys(value) for name, value in metadata.items() if name not in _IDENTITY}
    return outline


def _keys(value: Any) -> Any:
    """The keys of a map of texts; anything else is taken whole."""
    if type(value) is dict and value and all(type(item) is str for item in value.values()):
        return list(value)
    return value


def update(
    info: ResourceInfo, old: dict[str, Any] | None, new: dict[str, Any], manager: str, now: str, subresource: str = ""
) -> None:
    """Writes `new`'s managed fields for a create (`old` is None), an update or a patch other than apply.

    `now` is the RFC 3339 time of the request. Nothing changed means nothing written, so that such a request stays one
    without effect.
    """
    entries = (new.get("metadata") or {}).get("managedFields")
    held = ((old or {}).get("metadata") or {}).get("managedFields")
    reset = entries == [] or entries == [{}]
    own = {} if reset or subresource or entries == held else read(entries)
    managers = {} if reset else own or read(held, trusted=True)
    bare_new = bare(new)
    if not managers and old is not None:
        store(new, {})
        return
    if old is None and not managers:
        fields = _of_new(info, bare_new)
        metadata = new.setdefault("metadata", {})
        metadata.pop("managedFields", None)
        if fields:
            metadata["managedFields"] = [_entry(manager, UPDATE, info.api_version, now, fields, subresource)]
        return
    typed = root(info)
    before = bare(old) if old is not None else empty_object(typed)
    identity = manager_of(manager, UPDATE, info, subresource)
    unmanaged = ignored(info, subresource)
    try:
        found = granular.compare(before, bare_new, typed).without(unmanaged)
        managers = record(managers, found, identity, info.api_version, now)
    except granular.KeyMissing:
        managers = {}
    store(new, managers)
