"""What the server refuses in objects that decode well: the rules behind 422 answers, by kind.

Objects come here after defaults, admission and strategies. Every function returns all complaints in upstream's order
and with upstream's words, since clients show and match them; an empty list means the object may be stored.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from apimachinery import names
from apimachinery.fields import FieldError, Path
from apimachinery.strategies import is_custom
from apimachinery.validation.cluster import standard_finalizer
from apimachinery.validation.core_rules import CORE
from apimachinery.validation.group_rules import GROUPS
from apimachinery.validation.metadata import METADATA, object_meta, object_meta_update
from apimachinery.validation.rules import Rules

if TYPE_CHECKING:
    from apimachinery.resources import ResourceInfo

Obj = dict[str, Any]
Errors = list[FieldError]

_RULES: dict[tuple[str, str], Rules] = CORE | GROUPS
_DEFAULT = Rules()
_CUSTOM = Rules(name=names.dns1123_subdomain, core_finalizers=False)


def rules_of(info: ResourceInfo) -> Rules:
    if is_custom(info):
        return _CUSTOM
    return _RULES.get((info.group, info.kind), _DEFAULT)


def validate_create(info: ResourceInfo, obj: Obj) -> Errors:
    """Complaints about a new object."""
    rules = rules_of(info)
    if info.custom is not None:
        return _new_metadata(info, rules, obj) + info.custom.validate_create(obj)
    return _new_metadata(info, rules, obj) + rules.create(obj)


def _new_metadata(info: ResourceInfo, rules: Rules, obj: Obj) -> Errors:
    if not rules.metadata:
        return []
    meta = obj.get("metadata") or {}
    return object_meta(meta, info.namespaced, rules.name) + _finalizers(info, rules, meta)


def _finalizers(info: ResourceInfo, rules: Rules, meta: Obj) -> Errors:
    if not rules.core_finalizers or not meta.get("finalizers"):
        return []
    place: Path = METADATA.child("finalizers")
    found: Errors = []
    for index, name in enumerate(meta.get("finalizers") or ()):
        found += standard_finalizer(name, place.index(index))
    return found


def validate_update(info: ResourceInfo, obj: Obj, old: Obj) -> Errors:
    """Complaints about a new version of what is stored."""
    rules = rules_of(info)
    found = _changed_metadata(info, rules, obj, old)
    if info.custom is not None:
        return found + info.custom.validate_update(obj, old)
    if rules.update is not None and not rules.create_on_update:
        return found + (_again(info, rules, obj) if rules.meta_on_update else []) + rules.update(obj, old)
    specific = rules.update(obj, old) if rules.update is not None else []
    again = _again(info, rules, obj) if rules.meta_on_update else []
    created = rules.create(obj) if rules.create_on_update else []
    # Kinds which re-judge the whole object do so after their own rules for changes; the others before.
    return found + (specific + again + created if rules.meta_on_update else created + specific)


def _again(info: ResourceInfo, rules: Rules, obj: Obj) -> Errors:
    return _new_metadata(info, rules, obj)


def _changed_metadata(info: ResourceInfo, rules: Rules, obj: Obj, old: Obj) -> Errors:
    if not rules.metadata:
        return []
    meta = obj.get("metadata") or {}
    return object_meta_update(meta, old.get("metadata") or {}) + _finalizers(info, rules, meta)


def validate_status_update(info: ResourceInfo, obj: Obj, old: Obj) -> Errors:
    """Complaints about a new status."""
    return validate_subresource_update(info, "status", obj, old)


def validate_subresource_update(info: ResourceInfo, subresource: str, obj: Obj, old: Obj) -> Errors:
    """Complaints about a write through a subresource which stores its parent: `status`, `resize`, `finalize`, ..."""
    rules = rules_of(info)
    found = _changed_metadata(info, rules, obj, old)
    if info.custom is not None:
        return found + info.custom.validate_status_update(obj, old)
    rule = rules.subresources.get(subresource)
    if rule is not None:
        return found + rule(obj, old)
    return found if subresource == "status" else validate_update(info, obj, old)


__all__ = ["validate_create", "validate_status_update", "validate_subresource_update", "validate_update"]
