"""Events of the core group and of events.k8s.io: the same object under two sets of names."""

from __future__ import annotations

from types import MappingProxyType
from typing import Any

_NEW_NAMES = MappingProxyType(
    {
        "involvedObject": "regarding",
        "message": "note",
        "source": "deprecatedSource",
        "firstTimestamp": "deprecatedFirstTimestamp",
        "lastTimestamp": "deprecatedLastTimestamp",
        "count": "deprecatedCount",
        "reportingComponent": "reportingController",
    }
)
_OLD_NAMES = MappingProxyType({new: old for old, new in _NEW_NAMES.items()})
_REFERENCE = ("kind", "namespace", "name", "uid", "apiVersion", "resourceVersion", "fieldPath")
#: Field selectors speak the version's language, the index the stored one.
FIELD_LABELS = MappingProxyType(
    {f"regarding.{name}": f"involvedObject.{name}" for name in _REFERENCE}
    | {"reportingController": "reportingComponent"}
)


def to_events(obj: dict[str, Any]) -> dict[str, Any]:
    """`v1` to `events.k8s.io/v1`."""
    return {_NEW_NAMES.get(name, name): value for name, value in obj.items()}


def to_core(obj: dict[str, Any]) -> dict[str, Any]:
    """`events.k8s.io/v1` to `v1`."""
    return {_OLD_NAMES.get(name, name): value for name, value in obj.items()}
