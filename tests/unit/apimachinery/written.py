"""Objects as they stand before the store, and what validation says of them."""

from __future__ import annotations

import copy
from typing import Any

from apimachinery import defaults, strategies, validation
from apimachinery.resources import ResourceInfo

Obj = dict[str, Any]


def new(info: ResourceInfo, body: Obj) -> Obj:
    """The object as it stands before the store: completed and prepared."""
    obj = copy.deepcopy(body)
    meta = obj.setdefault("metadata", {})
    meta.setdefault("name", "x")
    meta.setdefault("uid", "u-1")
    if info.namespaced:
        meta.setdefault("namespace", "default")
    defaults.apply(info, obj)
    strategies.prepare_create(info, obj, now=0.0)
    return obj


def created(info: ResourceInfo, body: Obj) -> list[str]:
    return [str(error) for error in validation.validate_create(info, new(info, body))]


def updated(info: ResourceInfo, body: Obj, change: Obj) -> list[str]:
    """Complaints about `body` after the nested values of `change` were written into it."""
    old = new(info, body)
    old["metadata"]["resourceVersion"] = "1"
    obj = merged(copy.deepcopy(old), change)
    strategies.prepare_update(info, obj, old)
    return [str(error) for error in validation.validate_update(info, obj, old)]


def merged(target: Obj, change: Obj) -> Obj:
    for key, value in change.items():
        if value is None:
            target.pop(key, None)
        elif isinstance(value, dict) and isinstance(target.get(key), dict):
            merged(target[key], value)
        else:
            target[key] = value
    return target
