"""Whether expressions of admission mean anything: names, types, and what comes of them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from apimachinery.cel import types
from apimachinery.cel.admission import compiled, environment
from apimachinery.cel.composition import Expressions
from apimachinery.cel.mutation import JSON_PATCH, OBJECT
from apimachinery.cel.types import Type
from apimachinery.fields import FieldError, Path, invalid, required

Obj = dict[str, Any]
Errors = list[FieldError]

PATCH_TYPES = ("ApplyConfiguration", "JSONPatch")
#: what an expression is for -> what may come of it, whether it may ask the authorizer, whether it is compiled trimmed
KINDS: dict[str, tuple[Sequence[Type], bool, bool]] = {
    "validation": ((types.BOOL,), True, False),
    "message": ((types.STRING,), False, False),
    "annotation": ((types.STRING, types.NULL), True, True),
    "ApplyConfiguration": ((OBJECT,), True, True),
    "JSONPatch": ((types.list_of(JSON_PATCH),), True, True),
}


@lru_cache(maxsize=1024)
def condition_complaint(text: str, *, params: bool) -> str:
    """Why a match condition cannot be used, "" if it can."""
    return compiled(environment(params=params), text, (types.BOOL,)).error


class PolicyExpressions:
    """Those of one policy, in the order in which they see each other."""

    def __init__(self, spec: Obj) -> None:
        self._expressions = Expressions({"paramKind": spec.get("paramKind")})

    def variable(self, name: str, text: str, path: Path, missing: str) -> Errors:
        if not text.strip():
            return [required(path, missing)]
        wrong = self._expressions.add(name, text).error
        return [invalid(path, text, wrong)] if wrong else []

    def check(self, kind: str, text: str, path: Path, missing: str = "") -> Errors:
        """`kind` is a key of `KINDS`; `missing` is said when there is no text."""
        if not text.strip():
            return [required(path, missing)]
        wanted, authorizer, trimmed = KINDS[kind]
        given = text.strip() if trimmed else text
        patches = kind in PATCH_TYPES
        (found,) = self._expressions.compile([given], wanted, authorizer=authorizer, patches=patches)
        return [invalid(path, text, found.error)] if found is not None and found.error else []
