"""Field paths and field errors: how the server names what is wrong in an object, and where.

The texts are part of the API: kubectl prints them and clients match on them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class ErrorKind(StrEnum):
    """What is wrong with a field; the value travels as `reason` of a cause in `Status.details`."""

    NOT_FOUND = "FieldValueNotFound"
    REQUIRED = "FieldValueRequired"
    DUPLICATE = "FieldValueDuplicate"
    INVALID = "FieldValueInvalid"
    NOT_SUPPORTED = "FieldValueNotSupported"
    FORBIDDEN = "FieldValueForbidden"
    TOO_LONG = "FieldValueTooLong"
    TOO_SHORT = "FieldValueTooShort"
    TOO_MANY = "FieldValueTooMany"
    TOO_FEW = "FieldValueTooFew"
    INTERNAL = "InternalError"
    TYPE_INVALID = "FieldValueTypeInvalid"


_TITLES = {
    ErrorKind.NOT_FOUND: "Not found",
    ErrorKind.REQUIRED: "Required value",
    ErrorKind.DUPLICATE: "Duplicate value",
    ErrorKind.INVALID: "Invalid value",
    ErrorKind.NOT_SUPPORTED: "Unsupported value",
    ErrorKind.FORBIDDEN: "Forbidden",
    ErrorKind.TOO_LONG: "Too long",
    ErrorKind.TOO_SHORT: "Too short",
    ErrorKind.TOO_MANY: "Too many",
    ErrorKind.TOO_FEW: "Too few",
    ErrorKind.INTERNAL: "Internal error",
    ErrorKind.TYPE_INVALID: "Invalid value",
}
_WITHOUT_VALUE = frozenset(
    {ErrorKind.REQUIRED, ErrorKind.FORBIDDEN, ErrorKind.TOO_LONG, ErrorKind.TOO_SHORT, ErrorKind.INTERNAL}
)
_ESCAPES = {
    "\a": "\\a",
    "\b": "\\b",
    "\f": "\\f",
    "\n": "\\n",
    "\r": "\\r",
    "\t": "\\t",
    "\v": "\\v",
    '"': '\\"',
    "\\": "\\\\",
}


class _Omitted:
    """Marks a value which must not be shown, for instance a count nobody knows."""


OMITTED = _Omitted()


def quote(text: str) -> str:
    """The text in double quotes as Go's %q prints it; messages are compared by clients byte for byte."""
    if text.isascii() and text.isprintable() and '"' not in text and "\\" not in text:
        return f'"{text}"'
    out = []
    for char in text:
        code = ord(char)
        if char in _ESCAPES:
            out.append(_ESCAPES[char])
        elif char.isprintable():
            out.append(char)
        elif code < 0x80:
            out.append(f"\\x{code:02x}")
        elif code < 0x10000:
            out.append(f"\\u{code:04x}")
        else:
            out.append(f"\\U{code:08x}")
    return f'"{"".join(out)}"'


def to_json(value: Any) -> str:
    """Compact JSON as Go writes it: `<`, `>` and `&` escaped."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=str)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


class Path:
    """A place in an object, such as `spec.containers[0].name`; immutable, cheap to extend."""

    __slots__ = ("_text",)

    def __init__(self, *names: str) -> None:
        self._text = ".".join(names)

    @classmethod
    def _of(cls, text: str) -> Path:
        path = cls.__new__(cls)
        path._text = text
        return path

    def child(self, *names: str) -> Path:
        tail = ".".join(names)
        return Path._of(f"{self._text}.{tail}" if self._text else tail)

    def index(self, index: int) -> Path:
        return Path._of(f"{self._text}[{index}]")

    def key(self, key: str) -> Path:
        return Path._of(f"{self._text}[{key}]")

    def __str__(self) -> str:
        return self._text or "<nil>"

    def __repr__(self) -> str:
        return f"Path({self._text!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Path) and other._text == self._text

    def __hash__(self) -> int:
        return hash(self._text)


@dataclass(frozen=True, slots=True)
class FieldError:
    """One complaint about one field; `str()` is the sentence the user reads."""

    kind: ErrorKind
    path: str
    value: Any = OMITTED
    detail: str = ""

    def body(self) -> str:
        """The sentence without the field's name, as `Status.details.causes[].message` carries it."""
        text = _TITLES[self.kind]
        if self.kind not in _WITHOUT_VALUE and self.value is not OMITTED:
            text += f": {_shown(self.value)}"
        if self.detail:
            text += f": {self.detail}"
        return text

    def cause(self) -> dict[str, str]:
        cause = {"reason": self.kind.value, "message": self.body()}
        if self.path:
            cause["field"] = self.path
        return cause

    def __str__(self) -> str:
        return f"{self.path}: {self.body()}"


def _shown(value: Any) -> str:
    if isinstance(value, str):
        return quote(value)
    return to_json(value)


def aggregate(errors: Iterable[object]) -> str:
    """One sentence for several errors, each said once."""
    texts = list(dict.fromkeys(str(error) for error in errors))
    return texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]"


def required(path: Path, detail: str = "") -> FieldError:
    return FieldError(ErrorKind.REQUIRED, str(path), "", detail)


def invalid(path: Path, value: Any, detail: str = "") -> FieldError:
    return FieldError(ErrorKind.INVALID, str(path), value, detail)


def type_invalid(path: Path, value: Any, detail: str = "") -> FieldError:
    return FieldError(ErrorKind.TYPE_INVALID, str(path), value, detail)


def not_supported(path: Path, value: Any, supported: Sequence[str] = ()) -> FieldError:
    """`supported` is shown in the order given."""
    detail = f"supported values: {', '.join(quote(str(one)) for one in supported)}" if supported else ""
    return FieldError(ErrorKind.NOT_SUPPORTED, str(path), value, detail)


def duplicate(path: Path, value: Any) -> FieldError:
    return FieldError(ErrorKind.DUPLICATE, str(path), value)


def not_found(path: Path, value: Any) -> FieldError:
    return FieldError(ErrorKind.NOT_FOUND, str(path), value)


def forbidden(path: Path, detail: str = "") -> FieldError:
    return FieldError(ErrorKind.FORBIDDEN, str(path), "", detail)


def too_long(path: Path, value: Any, limit: int) -> FieldError:
    """The value itself is not shown: it is too long."""
    return FieldError(ErrorKind.TOO_LONG, str(path), OMITTED, _at_most(limit, "byte"))


def too_long_characters(path: Path, value: Any, limit: int) -> FieldError:
    return FieldError(ErrorKind.TOO_LONG, str(path), OMITTED, _at_most(limit, "character"))


def _at_most(limit: int, unit: str) -> str:
    if limit < 0:
        return "value is too long"
    return f"may not be more than {limit} {unit}{'' if limit == 1 else 's'}"


def too_many(path: Path, actual: int, limit: int) -> FieldError:
    """`actual` below zero means unknown."""
    detail = f"must have at most {limit} item{'' if limit == 1 else 's'}" if limit >= 0 else "has too many items"
    return FieldError(ErrorKind.TOO_MANY, str(path), actual if actual >= 0 else OMITTED, detail)


def internal(path: Path, detail: object) -> FieldError:
    return FieldError(ErrorKind.INTERNAL, str(path), OMITTED, str(detail))
