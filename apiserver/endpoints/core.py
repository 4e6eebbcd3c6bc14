"""What every verb needs, and the options that come in queries."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from apimachinery import errors
from apimachinery.fields import Path, invalid
from apimachinery.resources import ResourceInfo
from apimachinery.selectors import Selector, parse_fields, parse_labels
from apiserver.endpoints import queries
from apiserver.endpoints.exchange import Exchange
from apiserver.endpoints.path import selected_name
from apiserver.endpoints.render import Renderer
from apiserver.ports import Answerer, Connector
from apiserver.registry.catalog import Catalog
from apiserver.registry.writer import Write, Writer
from apiserver.storage.cache import Entry, Hint
from apiserver.storage.feed import Feed
from apiserver.storage.index import ALIASES, NAMES, Indexer
from apiserver.storage.listing import Lister
from component_base.clock import Clock
from component_base.rng import Rng

Matches = Callable[[Entry], bool]


@dataclass(slots=True)
class Core:
    catalog: Catalog
    feed: Feed
    lister: Lister
    writer: Writer
    clock: Clock
    rng: Rng
    answerers: dict[tuple[str, str], Answerer] = field(default_factory=dict)
    """By (plural, subresource)."""
    connectors: dict[tuple[str, str], Connector] = field(default_factory=dict)
    components: dict[str, Callable[[], Awaitable[str]]] = field(default_factory=dict)
    """Parts of the control plane by name, and how to ask for their health."""
    min_request_timeout: float = 1800.0

    def renderer(self, exchange: Exchange, info: ResourceInfo) -> Renderer:
        """Raises StatusError 400 for tables that nobody can make."""
        include = exchange.query.get("includeObject", "")
        if exchange.representation.transform == "Table" and include not in ("", "None", "Metadata", "Object"):
            detail = "must be 'Metadata', 'Object', 'None', or empty"
            problem = invalid(Path("includeObject"), include, detail)
            raise errors.bad_request(f"Unable to convert to Table as requested: {problem}")
        return Renderer(info, exchange.representation, include, self.clock)


def write_of(exchange: Exchange) -> Write:
    """Raises StatusError 422 for options that mean nothing."""
    queries.check_write(exchange)
    query = exchange.query
    dry_run = "dryRun" in query
    options: dict[str, Any] = {k: query[k] for k in ("fieldManager", "fieldValidation") if k in query}
    if dry_run:
        options["dryRun"] = ["All"]
    return Write(exchange.user, dry_run, options, exchange.warnings, exchange.annotations)


def field_validation(exchange: Exchange) -> str:
    """Ignore, Warn or Strict; what else was asked for, `write_of` has refused."""
    return exchange.query.get("fieldValidation", "") or "Warn"


@dataclass(frozen=True, slots=True)
class Selection:
    """What the selectors of a query match (None: everything), their texts, and something exact they demand."""

    matches: Matches | None = None
    texts: tuple[str, str] = ("", "")
    hint: Hint | None = None


EVERYTHING = Selection()


def selection(exchange: Exchange, info: ResourceInfo, indexer: Indexer) -> Selection:
    """Raises StatusError 400 for selectors that cannot be read or name unknown fields."""
    query = exchange.query
    label_text, field_text = query.get("labelSelector", ""), query.get("fieldSelector", "")
    name = exchange.target.name
    if not label_text and not field_text and not name:
        return EVERYTHING
    if name and field_text and selected_name(field_text) != name:
        raise errors.bad_request("fieldSelector metadata.name doesn't match requested name")
    try:
        labels, fields = parse_labels(label_text), parse_fields(field_text)
    except ValueError as error:
        raise errors.bad_request(str(error)) from None
    wanted = _requirements(info, indexer, fields)
    if name and not any(field == "metadata.name" for field, _, _ in wanted):
        wanted.append(("metadata.name", True, name))
    by_label = None if labels.is_everything else labels.matches
    texts = (str(labels), ",".join(f"{field}{'=' if equal else '!='}{value}" for field, equal, value in wanted))
    hint = _hint(labels, wanted)
    if not wanted:
        return Selection(None if by_label is None else (lambda entry: by_label(entry.labels)), texts, hint)
    if len(wanted) == 1 and wanted[0][1] and by_label is None:
        only, _, exact = wanted[0]
        return Selection(lambda entry: entry.field(only) == exact, texts, hint)

    def matches(entry: Entry) -> bool:
        if by_label is not None and not by_label(entry.labels):
            return False
        return all((entry.field(field) == value) is equal for field, equal, value in wanted)

    return Selection(matches, texts, hint)


def _hint(labels: Selector, wanted: list[tuple[str, bool, str]]) -> Hint | None:
    exact = [(name, value) for name, equal, value in wanted if equal]
    if exact:  # names and uids tell more objects apart than kinds and phases do
        name, value = min(exact, key=lambda one: not one[0].lower().endswith(("name", "uid")))
        return "field", name, value
    for one in labels.requirements:
        if one.operator in ("=", "==", "in") and len(one.values) == 1:
            return "label", one.key, next(iter(one.values))
    return None


def _requirements(info: ResourceInfo, indexer: Indexer, fields: Any) -> list[tuple[str, bool, str]]:
    aliases = ALIASES.get(info.group_resource, {})
    found = []
    for one in fields.requirements:
        stored = aliases.get(one.field, one.field)
        own = info.custom is None or stored in info.custom.selectable or stored in NAMES
        if stored not in indexer.selectable or not own:
            raise errors.bad_request(_unknown_field(info, one.field, len(indexer.selectable) > 2))
        found.append((stored, one.operator in ("=", "=="), one.value))
    return found


def _unknown_field(info: ResourceInfo, name: str, own: bool) -> str:
    if own:
        return f"field label not supported: {name}"
    return f'"{name}" is not a known field selector: only "metadata.name", "metadata.namespace"'


__all__ = ["Core", "field_validation", "selection", "write_of"]
