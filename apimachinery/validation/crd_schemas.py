"""Rules of the schemas of custom resources: which OpenAPI may be used, and that every field has one known type.

Rules in CEL are judged by `crd_rules`, defaults by `crd_defaults`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from apimachinery.fields import FieldError, Path, forbidden, invalid, not_supported, required
from apimachinery.structural.schema import (
    EMBEDDED,
    INT_OR_STRING,
    LIST_KEYS,
    LIST_TYPE,
    MAP_TYPE,
    META_FIELDS,
    PRESERVE,
    RULES,
)

Obj = dict[str, Any]
Errors = list[FieldError]

TYPES = ("array", "boolean", "integer", "number", "object", "string")
REASONS = ("FieldValueDuplicate", "FieldValueForbidden", "FieldValueInvalid", "FieldValueRequired")
_ONLY_RE2 = re.compile(r"\\[pPzQEC]|\[\[|(?!^)\(\?[imsU-]|--|&&|\|\||~~")
_EITHER = [{"type": "integer"}, {"type": "string"}]
_AT_ROOT = (
    "description", "type", "format", "title", "maximum", "exclusiveMaximum", "minimum", "exclusiveMinimum",
    "maxLength", "minLength", "pattern", "maxItems", "minItems", "uniqueItems", "multipleOf", "required", "items",
    "properties", "externalDocs", "example", PRESERVE, RULES,
)  # fmt: skip
_AT_ROOT_TEXT = (
    "only [Description Type Format Title Maximum ExclusiveMaximum Minimum ExclusiveMinimum MaxLength MinLength Pattern "
    "MaxItems MinItems UniqueItems MultipleOf Required Items Properties ExternalDocs Example XPreserveUnknownFields "
    "XValidations] fields are allowed at the root of the schema if the status subresource is enabled"
)
_LEVELS = {
    "root": "must not be empty at the root",
    "item": "must not be empty for specified array items",
    "field": "must not be empty for specified object fields",
}
#: field -> what an alternative (anyOf, not, ...) must leave it as
_STRUCTURE = {
    "default": "undefined",
    "title": "empty",
    "description": "empty",
    "nullable": "false",
    PRESERVE: "false",
    EMBEDDED: "false",
    INT_OR_STRING: "false",
    LIST_KEYS: "empty",
    LIST_TYPE: "undefined",
    MAP_TYPE: "undefined",
    RULES: "empty",
}


def validation(holder: Obj | None, status: bool, path: Path) -> Errors:
    """`status` says whether the status subresource is served: fewer fields make sense at the root then."""
    schema = (holder or {}).get("openAPIV3Schema")
    if schema is None:
        return []
    place = path.child("openAPIV3Schema")
    found = _root(schema, path) if status else []
    if schema.get("nullable"):
        found.append(forbidden(path.child("openAPIV3Schema.nullable"), "nullable cannot be true at the root"))
    if not _unsupported(schema):
        found += sorted(_structural(schema, "root", place) + _complete(schema, schema, place, place), key=str)
    found += _schema(schema, place, _Context(), root=True)
    return found or _defaults(schema, place) or _expressions(schema, place)


def violations(versions: Iterable[Obj]) -> Errors:
    """Why the schemas of a definition are not structural."""
    found: Errors = []
    for index, version in enumerate(versions):
        schema = (version.get("schema") or {}).get("openAPIV3Schema")
        if schema is not None and not _unsupported(schema):
            place = Path("spec", "versions").index(index).child("schema", "openAPIV3Schema")
            found += sorted(_structural(schema, "root", place) + _complete(schema, schema, place, place), key=str)
    return found


def _defaults(schema: Obj, path: Path) -> Errors:
    if not _has_defaults(schema):
        return []
    from apimachinery.validation.crd_defaults import check

    return check(schema, path)


def _has_defaults(schema: Obj) -> bool:
    return schema.get("default") is not None or any(_has_defaults(one) for _, one in _children(schema))


def _expressions(schema: Obj, path: Path) -> Errors:
    """Rules are compiled only where the schema is in order."""
    if not _has_rules(schema):
        return []
    # Most definitions have no rules: the language is loaded for those that do.
    from apimachinery.validation.crd_rules import check

    return check(schema, path)


def _has_rules(schema: Obj) -> bool:
    return bool(schema.get(RULES)) or any(_has_rules(one) for _, one in _children(schema))


def _root(schema: Obj, path: Path) -> Errors:
    kind = schema.get("type")
    if kind and kind != "object":
        detail = 'only "object" is allowed as the type at the root of the schema if the status subresource is enabled'
        return [invalid(path.child("openAPIV3Schema.type"), kind, detail)]
    if any(value not in (None, "", False, [], {}) for field, value in schema.items() if field not in _AT_ROOT):
        return [invalid(path.child("openAPIV3Schema"), schema, _AT_ROOT_TEXT)]
    return []


def _unsupported(schema: Obj) -> bool:
    """Whether something is used which the judgement of structure cannot even read; it is refused elsewhere."""
    if any(
        schema.get(field)
        for field in ("id", "$schema", "$ref", "patternProperties", "dependencies", "additionalItems", "definitions")
    ):
        return True
    if isinstance(schema.get("items"), list) or schema.get(PRESERVE) is False:
        return True
    return any(_unsupported(one) for _, one in _children(schema))


def _children(schema: Obj) -> Iterator[tuple[str, Obj]]:
    """Schemas inside a schema, with the last part of their place."""
    for field in ("additionalProperties", "items", "not"):
        if isinstance(schema.get(field), dict):
            yield field, schema[field]
    for name, one in (schema.get("properties") or {}).items():
        yield f"properties[{name}]", one
    for field in ("allOf", "oneOf", "anyOf"):
        for index, one in enumerate(schema.get(field) or ()):
            yield f"{field}[{index}]", one


def _structural(schema: Obj, level: str, path: Path) -> Errors:
    found: Errors = []
    kind, items, more = schema.get("type") or "", schema.get("items"), schema.get("additionalProperties")
    properties = schema.get("properties") or {}
    if kind == "array" and items is None:
        found.append(required(path.child("items"), "must be specified"))
    if isinstance(items, dict):
        found += _structural(items, "item", path.child("items"))
    for name, one in properties.items():
        found += _structural(one, "field", path.child("properties").key(name))
    if more is not None:
        if level == "root":
            found.append(forbidden(path.child("additionalProperties"), "must not be used at the root"))
        if isinstance(more, dict):
            found += _structural(more, "field", path.child("additionalProperties"))
    if schema.get(INT_OR_STRING):
        found += [
            invalid(path.child(field), True, f"must be false if {INT_OR_STRING} is true")
            for field in (PRESERVE, EMBEDDED)
            if schema.get(field)
        ]
    alternatives = schema.get("allOf") or []
    found += _values(
        schema,
        path,
        skip_any=schema.get("anyOf") == _EITHER,
        skip_first=bool(alternatives) and alternatives[0].get("anyOf") == _EITHER,
    )
    return found + _typed(schema, kind, level, path) + _metadata(schema, level, path)


def _typed(schema: Obj, kind: str, level: str, path: Path) -> Errors:
    found: Errors = []
    embedded = schema.get(EMBEDDED)
    if embedded and kind != "object":
        detail = f"must be object if {EMBEDDED} is true"
        place = path.child("type")
        found.append(invalid(place, kind, detail) if kind else required(place, detail))
    elif not kind and not schema.get(INT_OR_STRING) and not schema.get(PRESERVE):
        found.append(required(path.child("type"), _LEVELS[level]))
    if embedded and schema.get("additionalProperties") is not None:
        detail = f"must not be used if {EMBEDDED} is set"
        found.append(forbidden(path.child("additionalProperties"), detail))
    if level == "root" and kind and kind != "object":
        found.append(invalid(path.child("type"), kind, "must be object at the root"))
    return found


def _metadata(schema: Obj, level: str, path: Path) -> Errors:
    """The server knows kind, apiVersion and metadata itself; schemas may only narrow names."""
    properties = schema.get("properties") or {}
    checked = level == "root" or bool(schema.get(EMBEDDED))
    place = path.child("properties")
    found: Errors = []
    if checked:
        for name in ("kind", "apiVersion"):
            if name in properties and properties[name].get("type") != "string":
                kind = properties[name].get("type") or ""
                found.append(invalid(place.key(name).child("type"), kind, "must be string"))
    metadata = properties.get("metadata")
    if metadata is not None:
        if checked and metadata.get("type") != "object":
            kind = metadata.get("type") or ""
            found.append(invalid(place.key("metadata").child("type"), kind, "must be object"))
        if level == "root" and _says_more(metadata):
            detail = "must not specify anything other than name and generateName, but metadata is implicitly specified"
            found.append(forbidden(place.key("metadata"), detail))
    if schema.get(EMBEDDED) and not schema.get(PRESERVE) and not properties:
        detail = f"must not be empty if {EMBEDDED} is true without {PRESERVE}"
        found.append(required(place, detail))
    return found


def _says_more(metadata: Obj) -> bool:
    names = set(metadata.get("properties") or ())
    rest = {field for field, value in metadata.items() if value not in (None, "", False, [], {})}
    return bool(rest - {"type", "default", "properties"}) or not names <= {"name", "generateName"}


def _values(schema: Obj, path: Path, *, skip_any: bool = False, skip_first: bool = False) -> Errors:
    found: Errors = []
    for field in ("anyOf", "allOf", "oneOf"):
        if field == "anyOf" and skip_any:
            continue
        for index, one in enumerate(schema.get(field) or ()):
            skip = field == "allOf" and index == 0 and skip_first
            found += _nested(one, path.child(field).index(index), skip_any=skip)
    if isinstance(schema.get("not"), dict):
        found += _nested(schema["not"], path.child("not"))
    found += _pattern(schema.get("pattern") or "", path.child("pattern"))
    return found


def _pattern(pattern: str, path: Path) -> Errors:
    """Only what both Python and RE2 can read is judged."""
    if not pattern or _ONLY_RE2.search(pattern):
        return []
    try:
        re.compile(pattern)
    except re.error as wrong:
        detail = f"must be a valid regular expression, but isn't: error parsing regexp: {wrong}"
        return [invalid(path, pattern, detail)]
    return []


def _nested(schema: Obj, path: Path, *, skip_any: bool = False) -> Errors:
    found = _values(schema, path, skip_any=skip_any)
    if isinstance(schema.get("items"), dict):
        found += _nested(schema["items"], path.child("items"))
    for name, one in (schema.get("properties") or {}).items():
        found += _nested(one, path.child("properties").key(name))
    if schema.get("type"):
        found.append(forbidden(path.child("type"), "must be empty to be structural"))
    if schema.get("additionalProperties") is not None:
        found.append(forbidden(path.child("additionalProperties"), "must be undefined to be structural"))
    for field, state in _STRUCTURE.items():
        value = schema.get(field)
        if value is not None and (value or state == "undefined"):
            found.append(forbidden(path.child(field), f"must be {state} to be structural"))
    if "metadata" in (schema.get("properties") or {}):
        place = path.child("properties").key("metadata")
        found.append(forbidden(place, "must not be specified in a nested context"))
    return found


def _complete(nested: Obj, schema: Obj | None, place: Path, origin: Path, *, inside: bool = False) -> Errors:
    """Whatever an alternative speaks about has to be defined outside of it, too."""
    if schema is None:
        return [required(place, f"because it is defined in {origin}")]
    found: Errors = []
    if isinstance(nested.get("not"), dict):
        found += _complete(nested["not"], schema, place, origin.child("not"), inside=True)
    for field in ("allOf", "anyOf", "oneOf"):
        for index, one in enumerate(nested.get(field) or ()):
            found += _complete(one, schema, place, origin.child(field).index(index), inside=True)
    if not inside:
        return found
    if isinstance(nested.get("items"), dict):
        found += _complete(
            nested["items"], schema.get("items"), place.child("items"), origin.child("items"), inside=True
        )
    known = schema.get("properties") or {}
    for name, one in (nested.get("properties") or {}).items():
        there, here = place.child("properties").key(name), origin.child("properties").key(name)
        found += _complete(one, known.get(name), there, here, inside=True)
    return found


@dataclass(frozen=True, slots=True)
class _Context:
    """What the place of a schema forbids in it."""

    no_defaults: str = ""
    inside_meta: bool = False


def _schema(schema: Obj, path: Path, context: _Context, *, root: bool = False) -> Errors:
    found = _vocabulary(schema, path, context)
    more, properties = schema.get("additionalProperties"), schema.get("properties") or {}
    if more is not None:
        if properties and more is not True:
            detail = "additionalProperties and properties are mutual exclusive"
            found.append(forbidden(path.child("additionalProperties"), detail))
        if isinstance(more, dict):
            inner = context
            if context.inside_meta:
                inner = replace(context, no_defaults="inside additionalProperties applying to object metadata")
            found += _schema(more, path.child("additionalProperties"), inner)
    for name, one in properties.items():
        inner = context
        if (root or schema.get(EMBEDDED)) and name in META_FIELDS:
            reason = f"in top-level {name}" if root else context.no_defaults
            inner = replace(context, inside_meta=True, no_defaults=reason)
        found += _schema(one, path.child("properties").key(name), inner)
    if isinstance(schema.get("not"), dict):
        found += _schema(schema["not"], path.child("not"), context)
    for field in ("allOf", "oneOf", "anyOf"):
        for index, one in enumerate(schema.get(field) or ()):
            found += _schema(one, path.child(field).index(index), context)
    if isinstance(schema.get("items"), dict):
        found += _schema(schema["items"], path.child("items"), context)
    if schema.get(PRESERVE) is False:
        found.append(invalid(path.child(PRESERVE), False, "must be true or undefined"))
    found += _map_type(schema, path) + _list_type(schema, path)
    for index, rule in enumerate(schema.get(RULES) or ()):
        found += _rule(rule, path.child(RULES).index(index))
    return found


def _vocabulary(schema: Obj, path: Path, context: _Context) -> Errors:
    kind = schema.get("type") or ""
    found: Errors = [] if not kind or kind in TYPES else [not_supported(path.child("type"), kind, TYPES)]
    if schema.get("default") is not None and context.no_defaults:
        found.append(forbidden(path.child("default"), f"must not be set {context.no_defaults}"))
    for field in ("id", "additionalItems", "patternProperties", "definitions", "dependencies", "$ref"):
        if schema.get(field):
            found.append(forbidden(path.child(field), f"{field} is not supported"))
    if kind == "null":
        detail = "type cannot be set to null, use nullable as an alternative"
        found.append(forbidden(path.child("type"), detail))
    if isinstance(schema.get("items"), list):
        found.append(forbidden(path.child("items"), "items must be a schema object and not an array"))
    if context.inside_meta and schema.get(EMBEDDED):
        found.append(forbidden(path.child(EMBEDDED), "must not be used inside of resource meta"))
    if schema.get("uniqueItems"):
        detail = "uniqueItems cannot be set to true since the runtime complexity becomes quadratic"
        found.append(forbidden(path.child("uniqueItems"), detail))
    return found


def _must_be(schema: Obj, kind: str, reason: str, path: Path) -> Errors:
    actual, place = schema.get("type") or "", path.child("type")
    if actual == kind:
        return []
    detail = f"must be {kind} if {reason} is specified"
    return [invalid(place, actual, detail) if actual else required(place, detail)]


def _map_type(schema: Obj, path: Path) -> Errors:
    kind = schema.get(MAP_TYPE)
    if kind is None:
        return []
    found = _must_be(schema, "object", MAP_TYPE, path)
    if kind not in {"atomic", "granular"}:
        found.append(not_supported(path.child(MAP_TYPE), kind, ("atomic", "granular")))
    return found


def _list_type(schema: Obj, path: Path) -> Errors:
    kind, keys, items = schema.get(LIST_TYPE), schema.get(LIST_KEYS) or [], schema.get("items")
    found: Errors = []
    if kind is not None:
        wrong = _must_be(schema, "array", LIST_TYPE, path)
        found += wrong
        if not wrong and kind == "set" and isinstance(items, dict):
            found += _set_items(items, path.child("items"))
        if kind not in {"atomic", "set", "map"}:
            found.append(not_supported(path.child(LIST_TYPE), kind, ("atomic", "set", "map")))
    if keys and kind != "map":
        detail = f"must be map if {LIST_KEYS} is non-empty"
        place = path.child(LIST_TYPE)
        found.append(required(place, detail) if kind is None else invalid(place, kind, detail))
    if kind == "map":
        found += _map_items(schema, keys, items, path)
    if kind in {"set", "map"} and isinstance(items, dict):
        if items.get("nullable"):
            detail = f"cannot be nullable when {LIST_TYPE} is {kind}"
            found.append(forbidden(path.child("items", "nullable"), detail))
        if kind == "map":
            found += _map_keys(items, keys, path.child("items", "properties"))
    return found


def _set_items(items: Obj, path: Path) -> Errors:
    detail = f"must be atomic as item of a list with {LIST_TYPE}=set"
    kind = items.get("type")
    if kind == "array" and items.get(LIST_TYPE) not in {None, "atomic"}:
        return [invalid(path.child(LIST_TYPE), items[LIST_TYPE], detail)]
    if kind == "object" and items.get(MAP_TYPE) != "atomic":
        # Upstream shows the wrong field's value here.
        return [invalid(path.child(MAP_TYPE), items.get(LIST_TYPE), detail)]
    return []


def _map_items(schema: Obj, keys: list[str], items: Any, path: Path) -> Errors:
    found: Errors = []
    if not keys:
        found.append(required(path.child(LIST_KEYS), f"must not be empty if {LIST_TYPE} is map"))
    if items is None:
        return [*found, required(path.child("items"), f"must have a schema if {LIST_TYPE} is map")]
    if not isinstance(items, dict):
        return [*found, invalid(path.child("items"), items, f"must only have a single schema if {LIST_TYPE} is map")]
    kind = items.get("type") or ""
    if kind != "object":
        detail = f"must be object if parent array's {LIST_TYPE} is map"
        return [*found, invalid(path.child("items", "type"), kind, detail)]
    properties = items.get("properties") or {}
    for index, key in enumerate(keys):
        if key not in properties:
            detail = "entries must all be names of item properties"
            found.append(invalid(path.child(LIST_KEYS), keys, detail))
        elif properties[key].get("type") in {"array", "object"}:
            detail = f"must be a scalar type if parent array's {LIST_TYPE} is map"
            place = path.child("items", "properties").key(key).child("type")
            found.append(invalid(place, kind, detail))
        if key in keys[:index]:
            found.append(invalid(path.child(LIST_KEYS), keys, "must not contain duplicate entries"))
    return found


def _map_keys(items: Obj, keys: list[str], path: Path) -> Errors:
    found: Errors = []
    for key in keys:
        one = (items.get("properties") or {}).get(key)
        if one is None:
            continue
        if key not in (items.get("required") or ()) and one.get("default") is None:
            detail = f"this property is in {LIST_KEYS}, so it must have a default or be a required property"
            found.append(required(path.key(key).child("default"), detail))
        if one.get("nullable"):
            detail = f"this property is in {LIST_KEYS}, so it cannot be nullable"
            found.append(forbidden(path.key(key).child("nullable"), detail))
    return found


def _breaks(text: str) -> bool:
    return "\n" in text or "\r" in text


def _rule(rule: Obj, path: Path) -> Errors:
    found: Errors = []
    text, message = rule.get("rule") or "", rule.get("message") or ""
    if not text.strip():
        found.append(required(path.child("rule"), "rule is not specified"))
    elif message and not message.strip():
        found.append(invalid(path.child("message"), message, "must be non-empty if specified"))
    elif _breaks(message.strip()):
        found.append(invalid(path.child("message"), message, "must not contain line breaks"))
    elif _breaks(text.strip()) and not message.strip():
        detail = "message must be specified if rule contains line breaks"
        found.append(required(path.child("message"), detail))
    expression = rule.get("messageExpression") or ""
    if expression and not expression.strip():
        detail = "messageExpression must be non-empty if specified"
        found.append(required(path.child("messageExpression"), detail))
    reason = rule.get("reason")
    if reason is not None and reason not in REASONS:
        found.append(not_supported(path.child("reason"), reason, REASONS))
    field = rule.get("fieldPath") or ""
    if field and not field.strip():
        found.append(invalid(path.child("fieldPath"), field, "must be non-empty if specified"))
    if _breaks(field):
        found.append(invalid(path.child("fieldPath"), field, "must not contain line breaks"))
    return found
