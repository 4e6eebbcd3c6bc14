"""Who owns the number of replicas, told in the words of the Scale through which it is seen, and back.

A Scale is stored nowhere: its managed fields are those of the object it belongs to, cut down to this one field. A write
through it gives the object's entries back, with the managers of the Scale under the subresource `scale`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from apimachinery.patch import fieldset, managed
from apimachinery.patch.managed import APPLY, Manager, Managers, Owned

_API_VERSION = "autoscaling/v1"
_REPLICAS = (fieldset.field("spec"), fieldset.field("replicas"))


def path_of(spec_path: str) -> fieldset.Path:
    """`.spec.replicas` as the steps of an entry."""
    return tuple(map(fieldset.field, spec_path.removeprefix(".").split(".")))


def seen(obj: dict[str, Any], path: fieldset.Path) -> list[dict[str, Any]]:
    """The entries of the Scale of `obj`, whose number of replicas lies at `path`."""
    owners: Managers = {}
    for manager, owned in managed.read(obj["metadata"].get("managedFields"), trusted=True).items():
        if path in set(fieldset.paths(owned.fields)):
            owners[manager] = Owned(_only(_REPLICAS), _API_VERSION, owned.time)
    return managed.write(owners)


def taken_over(obj: dict[str, Any], path: fieldset.Path, entries: list[dict[str, Any]], api_version: str) -> None:
    """Puts the owners which `entries` of the Scale name into `obj`, in place of those it had."""
    mine = _only(path)
    managers: Managers = {}
    for manager, owned in managed.read(obj["metadata"].get("managedFields"), trusted=True).items():
        left = fieldset.difference(owned.fields, mine)
        if left:
            managers[manager] = replace(owned, fields=left)
    for manager, owned in managed.read(entries, trusted=True).items():
        if _REPLICAS not in set(fieldset.paths(owned.fields)):
            continue
        version = "" if manager.operation == APPLY else api_version
        key = Manager(manager.name, manager.operation, version, manager.subresource)
        before = managers.get(key)
        fields = fieldset.union(before.fields, mine) if before else mine
        managers[key] = Owned(fields, before.api_version if before else api_version, owned.time)
    managed.store(obj, managers)


def _only(path: fieldset.Path) -> fieldset.Node:
    root: fieldset.Node = {}
    fieldset.insert(root, path)
    return root
