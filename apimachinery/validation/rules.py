"""The shape of a kind's rules, and the few rule-makers which every group's table uses."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from apimachinery import names
from apimachinery.fields import FieldError

Obj = dict[str, Any]
Errors = list[FieldError]
CreateRule = Callable[[Obj], Errors]
UpdateRule = Callable[[Obj, Obj], Errors]


def nothing(obj: Obj) -> Errors:
    return []


@dataclass(frozen=True, slots=True)
class Rules:
    """How one kind is judged, its metadata apart.

    `update` is what differs on updates; `create_on_update` says whether the rules for new objects are applied to the
    new version as well, `meta_on_update` whether its metadata is judged like a new object's once more.
    """

    name: Callable[[str], list[str]] = names.dns1123_subdomain
    create: CreateRule = nothing
    update: UpdateRule | None = None
    create_on_update: bool = True
    meta_on_update: bool = False
    core_finalizers: bool = True
    #: whether the metadata is judged here; events bring their own rules for it
    metadata: bool = True
    #: subresource -> rule, metadata rules for updates included by the caller
    subresources: dict[str, UpdateRule] = field(default_factory=dict)
