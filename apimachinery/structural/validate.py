"""Whether a value is what its schema asks for. The sentences are upstream's: clients show and match them.

The order of the checks and the way alternatives choose what to complain about are those of upstream's validator, too:
of several alternatives that fail, the one with the most checks passed speaks.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable
from typing import Any

from apimachinery.fields import (
    ErrorKind,
    FieldError,
    Path,
    invalid,
    not_supported,
    quote,
    required,
    too_long,
    too_many,
    type_invalid,
)
from apimachinery.structural.formats import fits
from apimachinery.structural.schema import Schema, same

Errors = list[FieldError]


class _Absent:
    """Marks a value that has no counterpart in the object's former state."""


ABSENT = _Absent()
_JSON_TYPES = {bool: "boolean", str: "string", int: "integer", float: "number", list: "array", dict: "object"}
_NUMERIC_FORMATS = {"integer": "int64", "number": "float64"}
_NOWHERE = Path()
_FLOAT32 = 3.4028234663852886e38
_RANGES = {"int32": 1 << 31, "int64": 1 << 63, "": 1 << 63}


class Verdict:
    """Complaints and the number of checks that were made, by which alternatives are compared."""

    __slots__ = ("count", "errors")

    def __init__(self) -> None:
        self.errors: Errors = []
        self.count = 0

    def add(self, *errors: FieldError) -> None:
        for error in errors:
            if error not in self.errors:
                self.errors.append(error)

    def merge(self, other: Verdict) -> None:
        if other.errors:
            self.add(*other.errors)
        self.count += other.count


def validate(value: Any, schema: Schema, before: Any = ABSENT, below: str = "") -> Errors:
    """All complaints about `value`; with `before`, none about parts that have not been changed (ratcheting).

    `below` is the field that `schema` describes, for complaints about less than the whole object.
    """
    return Validator(below).check(value, schema, "", before).errors


class Validator:
    def __init__(self, below: str = "") -> None:
        self._base = Path(below) if below else None

    def _path(self, name: str) -> Path:
        relative = name.removeprefix(".")
        if self._base is None:
            return Path(relative) if relative else _NOWHERE
        return self._base.child(relative) if relative else self._base

    def check(self, value: Any, schema: Schema, path: str, before: Any) -> Verdict:
        found = Verdict()
        if value is None:
            if schema.types and not schema.nullable:
                found.add(self._type_error(path, ",".join(schema.types), "null"))
            else:
                found.count += 1
            if schema.enum:
                found.add(self._enum_error(path, value, schema.enum))
        else:
            if schema.types or schema.format:
                self._type(value, schema, path, found)
            if schema.all_of or schema.any_of or schema.one_of or schema.negated is not None:
                self._alternatives(value, schema, path, before, found)
            found.count += 2
            self._by_type(value, schema, path, before, found)
            if schema.enum and not any(same(value, one) for one in schema.enum):
                found.add(self._enum_error(path, value, schema.enum))
            found.count += 2
        if found.errors and before is not ABSENT and same(before, value):
            found.errors = []
        return found

    def _by_type(self, value: Any, schema: Schema, path: str, before: Any, found: Verdict) -> None:
        kind = type(value)
        if kind is str:
            self._string(value, schema, path, found)
        elif kind is dict:
            self._object(value, schema, path, before, found)
            found.count += 1
        elif kind is list:
            self._list(value, schema, path, before, found)
            found.count += 2
        elif kind is not bool:
            self._number(value, schema, path, found)
            found.count += 2

    # -- Types

    def _type_error(self, path: str, wanted: str, actual: str) -> FieldError:
        return type_invalid(self._path(path), actual, f"{path} in body must be of type {wanted}: {quote(actual)}")

    def _type(self, value: Any, schema: Schema, path: str, found: Verdict) -> None:
        actual = _JSON_TYPES[type(value)]
        types, wanted = schema.types, schema.format
        numeric = "number" in types or "integer" in types
        converts = (actual == "number" and "integer" in types and float(value).is_integer()) or (
            actual == "integer" and "number" in types
        )
        texts = actual in ("string", "array")
        if wanted and not texts:
            own = _NUMERIC_FORMATS.get(actual, "")
            if not (actual in types or own == wanted or converts):
                found.add(self._type_error(path, wanted, own))
                return
        if not numeric and wanted and texts:
            found.count += 2
            return
        if actual not in types and not converts:
            found.add(self._type_error(path, ",".join(types), actual))
            return
        found.count += 2

    def _enum_error(self, path: str, value: Any, allowed: Iterable[Any]) -> FieldError:
        words = [one if isinstance(one, str) else json.dumps(one, separators=(",", ":")) for one in allowed]
        return not_supported(self._path(path), value, words)

    # -- Values

    def _string(self, value: str, schema: Schema, path: str, found: Verdict) -> None:
        place = self._path(path)
        found.count += 1
        if schema.max_length is not None and len(value) > schema.max_length:
            found.add(too_long(place, "", int(schema.max_length)))
        elif schema.min_length is not None and len(value) < schema.min_length:
            text = f"{path} in body should be at least {int(schema.min_length)} chars long"
            found.add(invalid(place, value, text))
        elif schema.pattern and (wrong := _mismatch(schema.pattern, value)):
            found.add(invalid(place, value, f"{path} in body should match '{wrong}'"))
        if schema.format:
            found.count += 1
            if not fits(schema.format, value):
                text = f"{path} in body must be of type {schema.format}: {quote(value)}"
                found.add(type_invalid(place, value, text))

    def _number(self, value: float, schema: Schema, path: str, found: Verdict) -> None:
        place = self._path(path)
        if text := _out_of_range(value, schema, path):
            found.add(invalid(_NOWHERE, "", text))
        factor, most, least = schema.multiple_of, schema.maximum, schema.minimum
        if factor is not None and not _is_multiple(value, factor):
            found.add(invalid(place, value, f"{path} in body should be a multiple of {_number_text(factor)}"))
        if least is not None and (value <= least if schema.exclusive_minimum else value < least):
            words = "greater than" if schema.exclusive_minimum else "greater than or equal to"
            found.add(invalid(place, value, f"{path} in body should be {words} {_number_text(least)}"))
        if most is not None and (value >= most if schema.exclusive_maximum else value > most):
            words = "less than" if schema.exclusive_maximum else "less than or equal to"
            found.add(invalid(place, value, f"{path} in body should be {words} {_number_text(most)}"))

    def _list(self, value: list[Any], schema: Schema, path: str, before: Any, found: Verdict) -> None:
        if schema.items is not None:
            former = correlated(value, before, schema) if isinstance(before, list) else None
            for index, item in enumerate(value):
                old = former[index] if former is not None else ABSENT
                found.merge(self.check(item, schema.items, f"{path}[{index}]", old))
        place, size = self._path(path), len(value)
        if schema.min_items is not None and size < schema.min_items:
            text = f"{path} in body should have at least {int(schema.min_items)} items"
            found.add(invalid(place, size, text))
        if schema.max_items is not None and size > schema.max_items:
            found.add(too_many(place, size, int(schema.max_items)))

    def _object(self, value: dict[str, Any], schema: Schema, path: str, before: Any, found: Verdict) -> None:
        place, size = self._path(path), len(value)
        if schema.min_properties is not None and size < schema.min_properties:
            text = f"{path} in body should have at least {int(schema.min_properties)} properties"
            found.add(invalid(place, size, text))
        if schema.max_properties is not None and size > schema.max_properties:
            found.add(too_many(place, size, int(schema.max_properties)))
        former = before if isinstance(before, dict) else {}
        if schema.additional is not None and schema.additional is not True:
            for name, item in value.items():
                if name in schema.properties:
                    continue
                if schema.additional is False:
                    found.add(invalid(place, name, f"{path}.{name} in body is a forbidden property"))
                else:
                    found.merge(self.check(item, schema.additional, f"{path}.{name}", former.get(name, ABSENT)))
        for name, one in schema.properties.items():
            if name in value:
                inner = f"{path}.{name}" if path else name
                found.merge(self.check(value[name], one, inner, former.get(name, ABSENT)))
        for name in schema.required:
            if name not in value:
                found.add(required(self._path(f"{path}.{name}")))

    # -- Alternatives

    def _alternatives(self, value: Any, schema: Schema, path: str, before: Any, found: Verdict) -> None:
        if schema.any_of:
            self._any(value, schema.any_of, path, before, found)
        if schema.one_of:
            self._one(value, schema.one_of, path, before, found)
        if schema.all_of:
            good = 0
            for one in schema.all_of:
                verdict = self.check(value, one, path, before)
                good += not verdict.errors
                found.merge(verdict)
            if good < len(schema.all_of):
                tail = "" if good else ". None validated"
                found.add(_composite(f"{quote(path)} must validate all the schemas (allOf){tail}"))
        if schema.negated is not None and not self.check(value, schema.negated, path, ABSENT).errors:
            found.add(_composite(f"{quote(path)} must not validate the schema (not)"))

    def _any(self, value: Any, options: tuple[Schema, ...], path: str, before: Any, found: Verdict) -> None:
        best: Verdict | None = None
        for one in options:
            verdict = self.check(value, one, path, before)
            if not verdict.errors:
                found.merge(verdict)
                return
            if best is None or verdict.count > best.count:
                best = verdict
        found.add(_composite(f"{quote(path)} must validate at least one schema (anyOf)"))
        if best is not None:
            found.merge(best)

    def _one(self, value: Any, options: tuple[Schema, ...], path: str, before: Any, found: Verdict) -> None:
        best: Verdict | None = None
        good: list[Verdict] = []
        for one in options:
            verdict = self.check(value, one, path, before)
            if not verdict.errors:
                good.append(verdict)
                best = None
            elif not good and (best is None or verdict.count > best.count):
                best = verdict
        if len(good) == 1:
            found.merge(good[0])
            return
        tail = f"Found {len(good)} valid alternatives" if good else "Found none valid"
        found.add(_composite(f"{quote(path)} must validate one and only one schema (oneOf). {tail}"))
        if best is not None:
            found.merge(best)


def correlated(new: list[Any], old: list[Any], schema: Schema) -> list[Any]:
    """For each item its former state; only items of keyed lists have one."""
    if schema.list_type != "map" or not schema.list_keys:
        return [ABSENT] * len(new)
    former: dict[str, Any] = {}
    for item in old:
        if isinstance(item, dict):
            former.setdefault(_key(item, schema), item)
    return [former.get(_key(item, schema), ABSENT) if isinstance(item, dict) else ABSENT for item in new]


def _key(item: dict[str, Any], schema: Schema) -> str:
    return json.dumps([item.get(name) for name in schema.list_keys], sort_keys=True)


def _composite(text: str) -> FieldError:
    """Complaints about alternatives name no field."""
    return FieldError(ErrorKind.INVALID, str(_NOWHERE), "", text)


def _out_of_range(value: float, schema: Schema, path: str) -> str:
    """A number that its type cannot hold."""
    kind = schema.types[0] if len(schema.types) == 1 else ""
    if kind == "integer":
        limit = _RANGES[schema.format]
        if -limit <= value < limit:
            return ""
    elif kind != "number" or schema.format != "float" or abs(value) <= _FLOAT32:
        return ""
    form = f"with format {schema.format}" if schema.format else "(default format)"
    return f"Checked value must be of type {kind} {form} in {path}"


def _is_multiple(value: float, factor: float) -> bool:
    if factor <= 0:
        return False
    if isinstance(value, int) and float(factor).is_integer():
        return value % int(factor) == 0
    ratio = 1 / factor * value if factor < 1 else value / factor
    return math.isfinite(ratio) and abs(ratio - round(ratio)) < 1e-9 * max(1.0, abs(ratio))


def _number_text(value: float) -> str:
    """As Go prints a float64."""
    if float(value).is_integer() and abs(value) < 1e21:
        return str(int(value))
    return re.sub(r"e([+-])(\d)$", r"e\g<1>0\2", repr(float(value)))


def _mismatch(pattern: str, text: str) -> str:
    """Empty for a match, else the pattern as complaints show it."""
    from apimachinery.cel import regex
    from apimachinery.cel.errors import CelError

    try:
        return "" if regex.search(text, pattern) else pattern
    except CelError as error:
        return f"{pattern}, but pattern is invalid: {error}"
