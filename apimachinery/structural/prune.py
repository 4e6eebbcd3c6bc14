"""Values without the fields that their schema does not know, and the defaults that it gives."""

from __future__ import annotations

import math
from typing import Any

from apimachinery.schema.decode import decode_metadata
from apimachinery.schema.nodes import DecodeError, Findings, Place, render
from apimachinery.structural.schema import META_FIELDS, Schema, copied


def pruned(value: Any, schema: Schema | None, findings: Findings, root: bool = False) -> Any:
    """A copy without unknown fields, whose places are told to `findings`, and without nulls that mean nothing.

    At the root, and in embedded resources, kind, apiVersion and metadata are known. Raises DecodeError where an
    embedded resource's metadata cannot be metadata.
    """
    unknown: list[str] = []
    nested = Findings()
    walk = _Walk(unknown, nested)
    result = walk.value(value, schema, None, root)
    findings.unknown += [f'unknown field "{place}"' for place in sorted(unknown)]
    findings.unknown += nested.unknown
    return result


class _Walk:
    def __init__(self, unknown: list[str], findings: Findings) -> None:
        self._unknown = unknown
        self._findings = findings

    def value(self, value: Any, schema: Schema | None, place: Place, resource: bool = False) -> Any:
        kind = type(value)
        if kind is dict:
            return self._object(value, schema, place, resource or (schema is not None and schema.embedded))
        if kind is list:
            return self._list(value, schema, place)
        return _number(value, place) if kind is float or kind is int else value

    def _kept(self, value: Any, place: Place) -> Any:
        """A copy of something that has no schema and needs none."""
        kind = type(value)
        if kind is dict:
            return {name: self._kept(item, (place, name)) for name, item in value.items()}
        if kind is list:
            return [self._kept(item, (place, index)) for index, item in enumerate(value)]
        return _number(value, place) if kind is float or kind is int else value

    def _object(self, value: dict[str, Any], schema: Schema | None, place: Place, resource: bool) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for name, item in value.items():
            if resource and name in META_FIELDS:
                result[name] = self._meta(name, item, place)
                continue
            known = schema.properties.get(name) if schema is not None else None
            if known is None and schema is not None:
                if schema.additional is not None:
                    known = schema.additional if isinstance(schema.additional, Schema) else None
                elif schema.preserve:
                    result[name] = self._kept(item, (place, name))
                    continue
                else:
                    self._drop(name, place)
                    continue
            elif known is None:
                self._drop(name, place)
                continue
            if item is None and known is not None and not known.nullable and not known.has_default:
                continue
            result[name] = self.value(item, known, (place, name))
        return result

    def _list(self, value: list[Any], schema: Schema | None, place: Place) -> list[Any]:
        if schema is None:
            return [self.value(item, None, (place, index)) for index, item in enumerate(value)]
        items = schema.items
        if items is None and schema.preserve:
            return [self._kept(item, (place, index)) for index, item in enumerate(value)]
        return [self.value(item, items, (place, index)) for index, item in enumerate(value)]

    def _drop(self, name: str, place: Place) -> None:
        if place is not None or name not in META_FIELDS:
            self._unknown.append(render((place, name)))

    def _meta(self, name: str, item: Any, place: Place) -> Any:
        if place is None:  # the object's own, which is decoded elsewhere
            return item
        if name != "metadata":
            if not isinstance(item, str):
                raise DecodeError(f"{render((place, name))}: Invalid value: {item!r}: must be a string")
            return item
        return decode_metadata(item or {}, (place, name), self._findings)


def _number(value: float, place: Place) -> float:
    """Numbers are of 64 bits: larger whole ones lose precision, and what is no number at all is refused."""
    if isinstance(value, int) and not -(1 << 63) <= value < 1 << 64:
        value = float(value) if value.bit_length() < 1024 else math.inf
    if not math.isfinite(value):
        raise DecodeError(f"json: cannot unmarshal number into Go struct field {render(place)} of type float64")
    return value


def fill(value: Any, schema: Schema | None) -> None:
    """Defaults, in place: for absent fields, and for null where null is not allowed."""
    if schema is None:
        return
    if type(value) is dict:
        for name, one in schema.properties.items():
            if one.has_default and (name not in value or (value[name] is None and not one.nullable)):
                value[name] = copied(one.default)
        for name, item in value.items():
            known = schema.child(name)
            if item is None and known is not None and known.has_default and not known.nullable:
                value[name] = item = copied(known.default)
            if type(item) in (dict, list):
                fill(item, known)
    elif type(value) is list and schema.items is not None:
        items = schema.items
        for index, item in enumerate(value):
            if item is None and items.has_default and not items.nullable:
                value[index] = copied(items.default)
            if type(value[index]) in (dict, list):
                fill(value[index], items)


def prune_defaults(schema: Schema) -> None:
    """Defaults hold no fields that pruning would take away from an object."""
    if schema.has_default:
        schema.default = pruned(schema.default, schema, Findings())
    for one in schema.below():
        prune_defaults(one)
