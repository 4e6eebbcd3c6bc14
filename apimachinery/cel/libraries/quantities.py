"""Resource quantities and semantic versions."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import ClassVar

from apimachinery.cel import types
from apimachinery.cel.errors import CelError
from apimachinery.cel.libraries.standard import by_first
from apimachinery.cel.library import Library
from apimachinery.cel.numbers import INT_MAX, INT_MIN, UINT_MAX
from apimachinery.cel.types import Type
from apimachinery.cel.values import Opaque
from apimachinery.quantity import Quantity as Amount

QUANTITY_TYPE, SEMVER_TYPE = types.struct("kubernetes.Quantity"), types.struct("kubernetes.Semver")
QUANTITIES = Library({"Quantity": QUANTITY_TYPE, "Semver": SEMVER_TYPE})
_NANO = 10**9


@dataclass(frozen=True, slots=True)
class Quantity(Opaque):
    """An amount; equality compares amounts, not notations."""

    cel_type: ClassVar[Type] = QUANTITY_TYPE
    amount: Amount


def _quantity(text: str) -> Quantity:
    try:
        return Quantity(Amount.parse(text))
    except ValueError as error:
        raise CelError(str(error)) from None


def _is_quantity(text: str) -> bool:
    try:
        Amount.parse(text)
    except ValueError:
        return False
    return True


def _nano(quantity: Quantity) -> int:
    return quantity.amount.nano_value()


def _is_integer(quantity: Quantity) -> bool:
    whole, rest = divmod(_nano(quantity), _NANO)
    return rest == 0 and INT_MIN <= whole <= INT_MAX


def _as_integer(quantity: Quantity) -> int:
    if not _is_integer(quantity):
        raise CelError("cannot convert value to integer")
    return _nano(quantity) // _NANO


def _order(one: int, other: int) -> int:
    return int(one > other) - int(one < other)


def _quantities() -> None:
    lib = QUANTITIES
    lib.function("quantity(string) -> Quantity", "string_to_quantity", by_first)(_quantity)
    lib.function("isQuantity(string) -> bool", "is_quantity_string", by_first)(_is_quantity)
    # Upstream declares this one as a function by mistake, and so it has to be called.
    lib.function("sign(Quantity) -> int", "quantity_sign")(lambda one: _order(_nano(one), 0))
    lib.method("isGreaterThan(Quantity, Quantity) -> bool", "quantity_is_greater_than")(
        lambda one, other: _nano(one) > _nano(other)
    )
    lib.method("isLessThan(Quantity, Quantity) -> bool", "quantity_is_less_than")(
        lambda one, other: _nano(one) < _nano(other)
    )
    lib.method("compareTo(Quantity, Quantity) -> int", "quantity_compare_to")(
        lambda one, other: _order(_nano(one), _nano(other))
    )
    lib.method("asApproximateFloat(Quantity) -> double", "quantity_get_float")(lambda one: _nano(one) / _NANO)
    lib.method("asInteger(Quantity) -> int", "quantity_get_int")(_as_integer)
    lib.method("isInteger(Quantity) -> bool", "quantity_is_integer")(_is_integer)
    for name, sign in (("add", 1), ("sub", -1)):
        lib.method(f"{name}(Quantity, Quantity) -> Quantity", f"quantity_{name}")(
            lambda one, other, sign=sign: _sum(one, sign * _nano(other))
        )
        lib.method(f"{name}(Quantity, int) -> Quantity", f"quantity_{name}_int")(
            lambda one, other, sign=sign: _sum(one, sign * other * _NANO)
        )


def _sum(one: Quantity, nano: int) -> Quantity:
    return Quantity(Amount(_nano(one) + nano, one.amount.format))


@dataclass(frozen=True, slots=True)
class Semver(Opaque):
    """A semantic version; build metadata does not count in comparisons."""

    cel_type: ClassVar[Type] = SEMVER_TYPE
    major: int
    minor: int
    patch: int
    pre: tuple[str, ...]

    def key(self) -> tuple[object, ...]:
        """Orders versions: a release comes after all that lead to it, numbers before words."""
        words = tuple((0, int(part), "") if part.isdigit() else (1, 0, part) for part in self.pre)
        return self.major, self.minor, self.patch, not self.pre, words


_IDENTIFIERS = re.compile(r"[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*")


def parse_semver(text: str) -> Semver:
    """Raises CelError."""
    if not text:
        raise CelError("Version string empty")
    parts = text.split(".", 2)
    if len(parts) != 3:
        raise CelError("No Major.Minor.Patch elements found")
    rest, _, build = parts[2].partition("+")
    patch, dash, pre = rest.partition("-")
    major, minor, last = (_number(part, what) for part, what in zip((*parts[:2], patch), _PARTS, strict=True))
    for given, present, what in ((pre, dash, "PreRelease"), (build, "+" in parts[2], "Build meta data")):
        if present and not _IDENTIFIERS.fullmatch(given):
            raise CelError(
                f"{what} is empty" if not given else f'Invalid character(s) found in {what.lower()} "{given}"'
            )
    words = tuple(pre.split(".")) if dash else ()
    for word in words:
        if word.isdigit() and len(word) > 1 and word[0] == "0":
            raise CelError(f'Numeric PreRelease version must not contain leading zeroes "{word}"')
    return Semver(major, minor, last, words)


_PARTS = ("major", "minor", "patch")


def _number(text: str, what: str) -> int:
    if not text:
        raise CelError('strconv.ParseUint: parsing "": invalid syntax')
    if not (text.isascii() and text.isdigit()) or len(text) > 20:
        raise CelError(f'Invalid character(s) found in {what} number "{text}"')
    if len(text) > 1 and text[0] == "0":
        raise CelError(f'{what.capitalize()} number must not contain leading zeroes "{text}"')
    value = int(text)
    if value > UINT_MAX:
        raise CelError(f'strconv.ParseUint: parsing "{text}": value out of range')
    return value


def normalized(text: str) -> str:
    """Without a leading v and needless zeroes, with the numbers that are missing."""
    parts = text.removeprefix("v").split(".", 2)
    for index, part in enumerate(parts):
        if len(part) > 1:
            part = part.lstrip("0")
            parts[index] = part if part[:1].isdigit() else f"0{part}"
    if len(parts) < 3:
        if "+" in parts[-1] or "-" in parts[-1]:
            raise CelError("short version cannot contain PreRelease/Build meta data")
        parts += ["0"] * (3 - len(parts))
    return ".".join(parts)


def _semver(text: str, tolerant: bool = False) -> Semver:
    return parse_semver(normalized(text) if tolerant else text)


def _is_semver(text: str, tolerant: bool = False) -> bool:
    try:
        _semver(text, tolerant)
    except CelError:
        return False
    return True


def _compare(one: Semver, other: Semver) -> int:
    before, after = one.key(), other.key()
    return int(before > after) - int(before < after)


def _versions() -> None:
    lib = QUANTITIES
    lib.function("semver(string) -> Semver", "string_to_semver", by_first)(_semver)
    lib.function("semver(string, bool) -> Semver", "string_bool_to_semver", by_first)(_semver)
    lib.function("isSemver(string) -> bool", "is_semver_string", by_first)(_is_semver)
    lib.function("isSemver(string, bool) -> bool", "is_semver_string_bool", by_first)(_is_semver)
    lib.method("isGreaterThan(Semver, Semver) -> bool", "semver_is_greater_than")(
        lambda one, other: _compare(one, other) > 0
    )
    lib.method("isLessThan(Semver, Semver) -> bool", "semver_is_less_than")(lambda one, other: _compare(one, other) < 0)
    lib.method("compareTo(Semver, Semver) -> int", "semver_compare_to")(_compare)
    lib.method("major(Semver) -> int", "semver_major")(lambda one: one.major)
    lib.method("minor(Semver) -> int", "semver_minor")(lambda one: one.minor)
    lib.method("patch(Semver) -> int", "semver_patch")(lambda one: one.patch)


_quantities()
_versions()
