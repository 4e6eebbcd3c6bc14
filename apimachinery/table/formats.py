"""Pieces of cells that several kinds share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from apimachinery.quantity import Quantity
from apimachinery.selectors import from_label_selector

Obj = dict[str, Any]
NONE = "<none>"
UNSET = "<unset>"


def name(obj: Obj) -> str:
    return str((obj.get("metadata") or {}).get("name") or "")


def labels(table: Mapping[str, str] | None) -> str:
    """`a=1,b=2` in order of keys."""
    return ",".join(f"{key}={value}" for key, value in sorted((table or {}).items())) or NONE


def selector(wanted: Obj | None, *, broken: str = "<error>", empty: str = NONE) -> str:
    """A label selector as one types it; one that is absent selects nothing and shows as empty."""
    if wanted is None:
        return empty
    try:
        return str(from_label_selector(wanted)) or empty
    except ValueError:
        return broken


def template_cells(template: Obj | None) -> list[str]:
    """Names and images of a pod template's containers."""
    containers = ((template or {}).get("spec") or {}).get("containers") or ()
    return [",".join(str(one.get(field) or "") for one in containers) for field in ("name", "image")]


def first_few(listed: Sequence[str], most: int = 3, empty: str = UNSET) -> str:
    if len(listed) <= most:
        return ",".join(listed) or empty
    return f"{','.join(listed[:most])} + {len(listed) - most} more..."


def quantity(value: Any) -> str:
    """An amount in its canonical form; an absent one is `0`."""
    if value is None:
        return "0"
    try:
        return str(Quantity.parse(str(value)))
    except ValueError:
        return str(value)


_MODES = (("ReadWriteOnce", "RWO"), ("ReadOnlyMany", "ROX"), ("ReadWriteMany", "RWX"), ("ReadWriteOncePod", "RWOP"))


def access_modes(modes: Sequence[str] | None) -> str:
    return ",".join(short for mode, short in _MODES if mode in (modes or ()))


def is_default(obj: Obj, *annotations: str) -> bool:
    table = (obj.get("metadata") or {}).get("annotations") or {}
    return any(table.get(annotation) == "true" for annotation in annotations)


def named_reference(reference: Obj | None) -> str:
    """The target of a policy's `paramRef`."""
    if reference is None:
        return UNSET
    if reference.get("name"):
        return f"{reference.get('namespace') or '*'}/{reference['name']}"
    if reference.get("selector") is not None:
        return selector(reference["selector"])
    return UNSET
