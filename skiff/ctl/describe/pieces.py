"""Pieces all descriptions are made of: maps, names, ages, events, conditions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any

from apimachinery import timestamps
from apimachinery.quantity import Quantity
from apimachinery.table import ages

NONE = "<none>"
_HIDDEN = frozenset({"kubectl.kubernetes.io/last-applied-configuration"})
_LONG = 140


def head(obj: dict[str, Any], namespaced: bool = True) -> list[str]:
    """Name, namespace, labels and annotations."""
    metadata = obj.get("metadata") or {}
    lines = [f"Name:\t{metadata.get('name', '')}"]
    if namespaced:
        lines.append(f"Namespace:\t{metadata.get('namespace', '')}")
    return lines + pairs("Labels:", metadata.get("labels")) + notes(metadata)


def notes(metadata: Mapping[str, Any]) -> list[str]:
    found = {key: value for key, value in (metadata.get("annotations") or {}).items() if key not in _HIDDEN}
    return pairs("Annotations:", {key: _short(value) for key, value in found.items()}, ": ")


def _short(text: str) -> str:
    text = text.replace("\n", " ").rstrip()
    return text if len(text) <= _LONG else text[: _LONG - 3] + "..."


def pairs(title: str, found: Mapping[str, Any] | None, between: str = "=", indent: str = "") -> list[str]:
    """The first pair beside the title, the others below it."""
    if not found:
        return [f"{indent}{title}\t{NONE}"]
    lines = [f"{key}{between}{found[key]}" for key in sorted(found)]
    return [f"{indent}{title}\t{lines[0]}", *(f"{indent}\t{line}" for line in lines[1:])]


def time(text: Any) -> str:
    """`Mon, 02 Jan 2006 15:04:05 +0000`."""
    if not text:
        return "<unset>"
    moment = datetime.fromtimestamp(timestamps.parse(str(text)), UTC)
    return format_datetime(moment.replace(microsecond=0))


def words(found: Iterable[Any] | None, between: str = ", ") -> str:
    return between.join(str(one) for one in found or ()) or NONE


def amounts(title: str, found: Mapping[str, Any] | None, indent: str) -> list[str]:
    """Requests, limits, capacities."""
    if not found:
        return []
    return [f"{indent}{title}:", *(f"{indent}  {key}:\t{_amount(found[key])}" for key in sorted(found))]


def _amount(value: Any) -> str:
    return str(Quantity.parse(str(value)))


def events(found: Sequence[dict[str, Any]] | None, now: float) -> list[str]:
    """A table of the events; nothing where they could not be asked for."""
    if found is None:
        return []
    if not found:
        return [f"Events:\t{NONE}"]
    lines = ["Events:", "  Type\tReason\tAge\tFrom\tMessage", "  ----\t------\t----\t----\t-------"]
    for event in sorted(found, key=last_seen):
        age = event_age(event, now)
        message = str(event.get("message") or "").strip()
        lines.append(f"  {event.get('type', '')}\t{event.get('reason', '')}\t{age}\t{origin(event)}\t{message}")
    return lines


def last_seen(event: Mapping[str, Any]) -> float:
    """When an event happened last, in any of the ways events say so."""
    series = event.get("series") or {}
    for text in (series.get("lastObservedTime"), event.get("lastTimestamp"), event.get("eventTime")):
        if text:
            return timestamps.parse_or(text, 0.0)
    return timestamps.parse_or((event.get("metadata") or {}).get("creationTimestamp"), 0.0)


def event_age(event: Mapping[str, Any], now: float) -> str:
    count = (event.get("series") or {}).get("count") or event.get("count") or 1
    last = ages.human(now - last_seen(event))
    first = event.get("firstTimestamp") or event.get("eventTime")
    if count > 1 and first:
        return f"{last} (x{count} over {ages.since(first, now)})"
    return last


def origin(event: Mapping[str, Any]) -> str:
    return str((event.get("source") or {}).get("component") or event.get("reportingComponent") or "")


def selector(found: Mapping[str, Any] | None) -> str:
    from apimachinery.selectors import from_label_selector

    return str(from_label_selector(found)) if found else NONE


def conditions(found: Sequence[Mapping[str, Any]] | None, fields: Sequence[str] = ("Status", "Reason")) -> list[str]:
    """A small table, one line for each condition."""
    if not found:
        return []
    heads = ["Type", *fields]
    lines = ["Conditions:", "  " + "\t".join(heads), "  " + "\t".join("-" * len(one) for one in heads)]
    for one in found:
        cells = [str(one.get("type", ""))]
        for name in fields:
            value = one.get(name[0].lower() + name[1:])
            cells.append(time(value) if name.endswith("Time") else str(value or ""))
        lines.append("  " + "\t".join(cells))
    return lines
