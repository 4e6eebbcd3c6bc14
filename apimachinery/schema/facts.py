"""What the schemas do not tell about a field: its protobuf number, and whether its zero value is left out.

The facts lie in `field_facts.json`, which `proto/kubernetes_fields.py` writes; its head explains the notation.
"""

from __future__ import annotations

from functools import lru_cache
from importlib.resources import files
from typing import NamedTuple

import orjson


class Fact(NamedTuple):
    """A field of a message; an embedded struct has no name, since JSON shows its fields as its parent's."""

    name: str
    number: int
    drops_zero: bool
    embedded: str = ""


@lru_cache(maxsize=1)
def _lines() -> dict[str, str]:
    lines: dict[str, str] = orjson.loads(files("apimachinery.schema").joinpath("field_facts.json").read_bytes())
    return lines


def of(type_name: str) -> list[Fact]:
    """The fields of a type in the order of their declaration; none for types without a wire form."""
    found = []
    for word in _lines().get(type_name, "").split():
        name, _, number = word.rpartition(":")
        embedded = f"{type_name.rpartition('.')[0]}.{name[1:]}" if name.startswith("@") else ""
        found.append(Fact("" if embedded else name, int(number.rstrip("z")), number.endswith("z"), embedded))
    return found


@lru_cache(maxsize=1024)
def dropped_zeros(type_name: str) -> frozenset[str]:
    """The JSON fields whose zero values are left out, those of embedded structs included."""
    names: set[str] = set()
    for fact in of(type_name):
        if fact.embedded:
            names |= dropped_zeros(fact.embedded)
        elif fact.drops_zero:
            names.add(fact.name)
    return frozenset(names)
