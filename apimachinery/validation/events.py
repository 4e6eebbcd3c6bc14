"""Rules of Events: the lenient ones of v1, and the strict ones of events.k8s.io/v1."""

from __future__ import annotations

from typing import Any

from apimachinery import names
from apimachinery.fields import FieldError, Path, invalid, required
from apimachinery.strategies.equality import same
from apimachinery.validation.metadata import immutable, object_meta, object_meta_update

Obj = dict[str, Any]
Errors = list[FieldError]

_SHORT = 128
_NOTE = 1024
_UNSET = "needs to be unset"
_MISMATCH = "does not match event.namespace"
_FROZEN = (
    ("involvedObject", "regarding"),
    ("reason", "reason"),
    ("message", "note"),
    ("source", "deprecatedSource"),
    ("firstTimestamp", "deprecatedFirstTimestamp"),
    ("lastTimestamp", "deprecatedLastTimestamp"),
    ("count", "deprecatedCount"),
    ("reason", "reason"),
    ("type", "type"),
    ("eventTime", "eventTime"),
    ("action", "action"),
    ("related", "related"),
    ("reportingController", "reportingController"),
    ("reportingInstance", "reportingInstance"),
)


def core(event: Obj) -> Errors:
    """What v1 asks, of new and of changed events; their metadata is not looked at."""
    involved = event.get("involvedObject") or {}
    return _either(event, involved.get("namespace") or "", "reportingComponent", event.get("message") or "")


def _either(event: Obj, involved: str, controller: str, message: str) -> Errors:
    namespace = (event.get("metadata") or {}).get("namespace") or ""
    place = Path("involvedObject", "namespace")
    found: Errors = []
    if not event.get("eventTime"):
        allowed = {involved} if involved else {"", "default"}
        if namespace not in allowed:
            found.append(invalid(place, involved, _MISMATCH))
    else:
        if not involved and namespace not in {"default", "kube-system"}:
            found.append(invalid(place, involved, _MISMATCH))
        found += _reporter(event, controller)
        for field in ("action", "reason"):
            found += _short(event.get(field) or "", Path(field))
        if len(message.encode()) > _NOTE:
            found.append(invalid(Path("message"), "", f"can have at most {_NOTE} characters"))
    return found + [invalid(Path("namespace"), namespace, text) for text in names.dns1123_subdomain(namespace)]


def _reporter(event: Obj, field: str) -> Errors:
    name, place = event.get(field) or "", Path(field)
    found: Errors = [] if name else [required(place)]
    found += [invalid(place, name, text) for text in names.qualified_name(name)]
    return found + _short(event.get("reportingInstance") or "", Path("reportingInstance"))


def _short(text: str, place: Path) -> Errors:
    if not text:
        return [required(place)]
    return [invalid(place, "", f"can have at most {_SHORT} characters")] if len(text.encode()) > _SHORT else []


def _lenient(event: Obj) -> Errors:
    involved = (event.get("regarding") or {}).get("namespace") or ""
    return _either(event, involved, "reportingController", event.get("note") or "")


def _series(event: Obj) -> Errors:
    series = event.get("series")
    if series is None:
        return []
    found: Errors = []
    if (series.get("count") or 0) < 2:
        found.append(invalid(Path("series.count"), "", "should be at least 2"))
    if not series.get("lastObservedTime"):
        found.append(required(Path("series.lastObservedTime")))
    return found


def create(event: Obj) -> Errors:
    found = _lenient(event)
    found += object_meta(event.get("metadata") or {}, True, names.dns1123_subdomain)
    found += _series(event)
    if not event.get("eventTime"):
        found.append(required(Path("eventTime")))
    kind = event.get("type") or ""
    if kind not in {"Normal", "Warning"}:
        found.append(invalid(Path("type"), "", f"has invalid value: {kind}"))
    for internal, field in (
        ("firstTimestamp", "deprecatedFirstTimestamp"),
        ("lastTimestamp", "deprecatedLastTimestamp"),
        ("count", "deprecatedCount"),
    ):
        if event.get(field):
            found.append(invalid(Path(internal), "", _UNSET))
    source = event.get("deprecatedSource") or {}
    if source.get("component") or source.get("host"):
        found.append(invalid(Path("source"), "", _UNSET))
    return found


def update(new: Obj, old: Obj) -> Errors:
    found = _lenient(new)
    found += object_meta_update(new.get("metadata") or {}, old.get("metadata") or {})
    if not same(new.get("series"), old.get("series")):
        found += _series(new)
    for internal, field in _FROZEN:
        found += immutable(new.get(field), old.get(field), Path(internal))
    return found
