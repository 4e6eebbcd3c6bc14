"""Schemas of custom resources, compiled: the structural part and the constraints on values in one tree of nodes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from apimachinery.structural.formats import known_format

if TYPE_CHECKING:
    from apimachinery.cel.rules import RuleNode

Obj = dict[str, Any]

PRESERVE, EMBEDDED = "x-kubernetes-preserve-unknown-fields", "x-kubernetes-embedded-resource"
INT_OR_STRING = "x-kubernetes-int-or-string"
LIST_TYPE, LIST_KEYS, MAP_TYPE = "x-kubernetes-list-type", "x-kubernetes-list-map-keys", "x-kubernetes-map-type"
RULES = "x-kubernetes-validations"
#: What the server knows of every object without being told.
META_FIELDS = frozenset(("apiVersion", "kind", "metadata"))
NOTHING: dict[str, Schema] = {}


class Schema:
    """One node. `additional` is None where it is not given, True or False, or the schema of further fields."""

    __slots__ = (
        "additional",
        "all_of",
        "any_of",
        "compiled",
        "default",
        "embedded",
        "enum",
        "exclusive_maximum",
        "exclusive_minimum",
        "format",
        "has_default",
        "has_lists",
        "has_resources",
        "has_rules",
        "items",
        "list_keys",
        "list_type",
        "map_type",
        "max_items",
        "max_length",
        "max_properties",
        "maximum",
        "min_items",
        "min_length",
        "min_properties",
        "minimum",
        "multiple_of",
        "negated",
        "nullable",
        "one_of",
        "pattern",
        "preserve",
        "properties",
        "required",
        "rules",
        "types",
    )

    def __init__(self, raw: Obj) -> None:
        kind = raw.get("type") or ""
        #: An int-or-string has both; no entry means any type.
        self.types: tuple[str, ...] = ("integer", "string") if raw.get(INT_OR_STRING) else (kind,) if kind else ()
        self.nullable = bool(raw.get("nullable"))
        self.has_default = raw.get("default") is not None
        self.default: Any = raw.get("default")
        self.preserve = bool(raw.get(PRESERVE))
        self.embedded = bool(raw.get(EMBEDDED))
        self.list_type: str = raw.get(LIST_TYPE) or ""
        self.list_keys: tuple[str, ...] = tuple(raw.get(LIST_KEYS) or ())
        self.map_type: str = raw.get(MAP_TYPE) or ""
        self.rules: tuple[Obj, ...] = tuple(raw.get(RULES) or ())
        self.compiled: RuleNode | None = None
        self._limits(raw)
        self._parts(raw)
        below = list(self.below())
        #: Whether this node or one below it has rules, keyed lists or sets, or embedded resources: walks end early.
        self.has_rules: bool = bool(self.rules) or any(one.has_rules for one in below)
        self.has_lists: bool = self.list_type in ("map", "set") or any(one.has_lists for one in below)
        self.has_resources: bool = self.embedded or any(one.has_resources for one in below)

    def _limits(self, raw: Obj) -> None:
        self.format = known_format(raw.get("format") or "", self.types)
        self.enum: list[Any] = raw.get("enum") or []
        self.maximum: float | None = raw.get("maximum")
        self.minimum: float | None = raw.get("minimum")
        self.exclusive_maximum = bool(raw.get("exclusiveMaximum"))
        self.exclusive_minimum = bool(raw.get("exclusiveMinimum"))
        self.multiple_of: float | None = raw.get("multipleOf")
        self.max_length: int | None = raw.get("maxLength")
        self.min_length: int | None = raw.get("minLength")
        self.pattern: str = raw.get("pattern") or ""
        self.max_items: int | None = raw.get("maxItems")
        self.min_items: int | None = raw.get("minItems")
        self.max_properties: int | None = raw.get("maxProperties")
        self.min_properties: int | None = raw.get("minProperties")
        self.required: tuple[str, ...] = tuple(raw.get("required") or ())

    def _parts(self, raw: Obj) -> None:
        self.properties: dict[str, Schema] = {
            name: Schema(one) for name, one in (raw.get("properties") or {}).items()
        } or NOTHING
        items = raw.get("items")
        self.items: Schema | None = Schema(items) if isinstance(items, dict) else None
        more = raw.get("additionalProperties")
        self.additional: Schema | bool | None = Schema(more) if isinstance(more, dict) else more
        self.all_of = tuple(Schema(one) for one in raw.get("allOf") or ())
        self.any_of = tuple(Schema(one) for one in raw.get("anyOf") or ())
        self.one_of = tuple(Schema(one) for one in raw.get("oneOf") or ())
        self.negated: Schema | None = Schema(raw["not"]) if isinstance(raw.get("not"), dict) else None

    def below(self) -> Iterator[Schema]:
        """The schemas of fields and items, alternatives apart."""
        yield from self.properties.values()
        if self.items is not None:
            yield self.items
        if isinstance(self.additional, Schema):
            yield self.additional

    def child(self, name: str) -> Schema | None:
        """The schema of a field, None where there is none."""
        found = self.properties.get(name)
        if found is None and isinstance(self.additional, Schema):
            return self.additional
        return found


def copied(value: Any) -> Any:
    """A deep copy of a JSON value."""
    if type(value) is dict:
        return {name: copied(item) for name, item in value.items()}
    if type(value) is list:
        return [copied(item) for item in value]
    return value


def same(a: Any, b: Any) -> bool:
    """Equality of JSON values: true is not 1."""
    if isinstance(a, bool) or isinstance(b, bool):
        return a is b
    if type(a) is dict and type(b) is dict:
        return a.keys() == b.keys() and all(same(value, b[name]) for name, value in a.items())
    if type(a) is list and type(b) is list:
        return len(a) == len(b) and all(map(same, a, b))
    return bool(a == b)
