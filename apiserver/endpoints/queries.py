"""The options that come in queries: decoded as Go decodes them, and checked with upstream's words.

What cannot be read at all is 400; options that mean nothing, or contradict each other, are 422 and name the field.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

from apimachinery import errors, fields
from apimachinery.fields import FieldError, Path
from apiserver.endpoints.exchange import Exchange
from apiserver.endpoints.path import is_true

EXACT, NOT_OLDER_THAN = "Exact", "NotOlderThan"
MAX_MANAGER = 128
_INT64 = 1 << 63
#: The kind of the options each verb takes.
_KINDS = {"create": "CreateOptions", "update": "UpdateOptions", "patch": "PatchOptions"}


def refuse(kind: str, found: Sequence[FieldError]) -> None:
    """Raises StatusError 422 if there is any complaint."""
    if found:
        raise errors.invalid("meta.k8s.io", kind, "", found)


def whole_number(text: str) -> int:
    """Raises StatusError 400 for what Go's ParseInt does not take."""
    digits = text[1:] if text[:1] in ("+", "-") else text
    why = "invalid syntax"
    if digits.isascii() and digits.isdigit():
        value = int(text) if len(digits) < 40 else _INT64
        if -_INT64 <= value < _INT64:
            return value
        why = "value out of range"
    raise errors.bad_request(f"strconv.ParseInt: parsing {fields.quote(text)}: {why}")


def number_of(exchange: Exchange, name: str) -> int | None:
    """None when absent; an empty value is no number."""
    return whole_number(exchange.query[name]) if name in exchange.query else None


# -- Writes


def check_write(exchange: Exchange) -> None:
    """fieldManager, dryRun and fieldValidation of a create, an update or a patch. Raises StatusError 422."""
    query = exchange.query
    if not ("fieldManager" in query or "dryRun" in query or "fieldValidation" in query):
        return
    found = [*_manager(query.get("fieldManager", "")), *dry_run_problems(dry_run_of(exchange))]
    mode = query.get("fieldValidation", "")
    if mode not in ("", "Ignore", "Warn", "Strict"):
        found.append(fields.not_supported(Path("fieldValidation"), mode, ("", "Ignore", "Strict", "Warn")))
    refuse(_KINDS.get(exchange.target.verb, "DeleteOptions"), found)


def dry_run_of(exchange: Exchange) -> list[str]:
    return [value for name, value in exchange.pairs if name == "dryRun"]


def dry_run_problems(asked: Sequence[str]) -> list[FieldError]:
    """Whatever is asked for but All."""
    return [] if set(asked) <= {"All"} else [fields.not_supported(Path("dryRun"), list(asked), ("All",))]


def _manager(name: str) -> list[FieldError]:
    found = []
    if len(name.encode()) > MAX_MANAGER:
        found.append(fields.too_long(Path("fieldManager"), name, MAX_MANAGER))
    position = 0
    for char in name:
        if char != " " and unicodedata.category(char)[0] in "CZ":
            shown = f"U+{ord(char):04X}" + (f" '{char}'" if char.isprintable() else "")
            detail = f"invalid character {shown} (at position {position})"
            found.append(fields.invalid(Path("fieldManager"), name, detail))
        position += len(char.encode("utf-8", "surrogatepass"))
    return found


# -- Lists and watches


@dataclass(frozen=True, slots=True)
class ListOptions:
    """Of a list, a watch or the deletion of a collection; `revision` None: none was given."""

    revision: int | None = None
    match: str = ""
    limit: int = 0
    continuing: str = ""
    initial: bool | None = None
    """sendInitialEvents; None: not said."""
    timeout: int = 0
    bookmarks: bool = False


_NOTHING = ListOptions()


def list_options(exchange: Exchange, watch: bool = False) -> ListOptions:
    """Raises StatusError 400 and 422."""
    query = exchange.query
    if not query:
        return _NOTHING
    match, continuing = query.get("resourceVersionMatch", ""), query.get("continue", "")
    initial = is_true(query["sendInitialEvents"]) if "sendInitialEvents" in query else None
    limit, timeout = number_of(exchange, "limit") or 0, number_of(exchange, "timeoutSeconds") or 0
    version = query.get("resourceVersion", "")
    refuse("ListOptions", _watch_problems(match, continuing, initial) if watch else _list_problems(
        version, match, continuing, initial
    ))  # fmt: skip
    revision = revision_of(exchange)
    if not watch and continuing and version not in ("", "0"):
        raise errors.bad_request("specifying resource version is not allowed when using continue")
    bookmarks = is_true(query.get("allowWatchBookmarks"))
    return ListOptions(revision, match, max(0, limit), continuing, initial, timeout, bookmarks)


def _list_problems(version: str, match: str, continuing: str, initial: bool | None) -> list[FieldError]:
    place, found = Path("resourceVersionMatch"), []
    if match:
        if not version:
            found.append(
                fields.forbidden(place, "resourceVersionMatch is forbidden unless resourceVersion is provided")
            )
        if continuing:
            found.append(fields.forbidden(place, "resourceVersionMatch is forbidden when continue is provided"))
        if match not in (EXACT, NOT_OLDER_THAN):
            found.append(fields.not_supported(place, match, (EXACT, NOT_OLDER_THAN, "")))
        if match == EXACT and version == "0":
            detail = 'resourceVersionMatch "exact" is forbidden for resourceVersion "0"'
            found.append(fields.forbidden(place, detail))
    if initial is not None:
        found.append(fields.forbidden(Path("sendInitialEvents"), "sendInitialEvents is forbidden for list"))
    return found


def _watch_problems(match: str, continuing: str, initial: bool | None) -> list[FieldError]:
    place, found = Path("resourceVersionMatch"), []
    if initial is not None and match != NOT_OLDER_THAN:
        detail = f"sendInitialEvents requires setting resourceVersionMatch to {NOT_OLDER_THAN}"
        found.append(fields.forbidden(place, detail))
    if match:
        if initial is None:
            detail = "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided"
            found.append(fields.forbidden(place, detail))
        if match != NOT_OLDER_THAN:
            found.append(fields.not_supported(place, match, (NOT_OLDER_THAN,)))
        if continuing:
            found.append(fields.forbidden(place, "resourceVersionMatch is forbidden when continue is provided"))
    return found


def revision_of(exchange: Exchange) -> int | None:
    """`resourceVersion` of a read: None when absent. Raises StatusError 400."""
    text = exchange.query.get("resourceVersion", "")
    if not text:
        return None
    why = "invalid syntax"
    if text.isascii() and text.isdigit():
        value = int(text) if len(text) < 40 else _INT64 * 2
        if value < _INT64 * 2:
            return value
        why = "value out of range"
    cause = f"strconv.ParseUint: parsing {fields.quote(text)}: {why}"
    raise errors.bad_request(str(fields.invalid(Path("resourceVersion"), text, cause)))
