"""What a patch made, typed again: a patch may have written anything anywhere."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from apimachinery import errors, fields
from apimachinery.fields import Path
from apimachinery.schema.decode import Decoded, Kinded, typed
from apimachinery.schema.nodes import DecodeError


def retyped(info: Kinded, patched: Any, shown: Callable[[], object]) -> Decoded:
    """The patched object checked and pruned; StatusError 422, quoting what `shown` returns, if it does not fit."""
    try:
        return typed(info, patched)
    except DecodeError as error:
        raise refused(shown(), error) from None


def refused(shown: object, cause: object) -> errors.StatusError:
    """The answer to a patch whose result cannot be an object of the kind."""
    text = shown if isinstance(shown, str) else fields.to_json(shown)
    return errors.invalid("", "", "", [fields.invalid(Path("patch"), text, str(cause))])
