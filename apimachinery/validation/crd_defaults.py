"""Defaults within the schemas of definitions: an object that takes one must be as good as any."""

from __future__ import annotations

from typing import Any

from apimachinery.fields import FieldError, Path, invalid
from apimachinery.schema.nodes import DecodeError, Findings
from apimachinery.structural import embedded, rules
from apimachinery.structural.prune import pruned
from apimachinery.structural.schema import Schema
from apimachinery.structural.validate import ABSENT, validate

Obj = dict[str, Any]
Errors = list[FieldError]


def check(raw: Obj, path: Path) -> Errors:
    """All complaints about the defaults of a schema that is in order otherwise; there are none below maps."""
    found: Errors = []
    if raw.get("default") is not None:
        found += _default(raw["default"], Schema(raw), path.child("default"))
    if isinstance(raw.get("items"), dict):
        found += check(raw["items"], path.child("items"))
    for name, one in (raw.get("properties") or {}).items():
        found += check(one, path.child("properties").key(name))
    return found


def _default(value: Any, schema: Schema, path: Path) -> Errors:
    found: Errors = []
    unknown = Findings()
    try:
        pruned(value, schema, unknown)
    except DecodeError as error:
        return [invalid(path, value, f"must result in valid metadata: {error}")]
    if unknown.unknown:
        found.append(invalid(path, value, "must not have unknown fields"))
    wrong = embedded.check(value, schema, path) or validate(value, schema, below=str(path))
    return found + (wrong or list(rules.walk(schema, value, ABSENT, path)))
