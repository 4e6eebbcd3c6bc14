"""Resource quantities: exact fixed-point numbers with decimal, binary or exponent suffixes, and their canonical text.

A quantity is held as a whole number of nano units; what is finer is rounded away from zero, so that who asks for
something gets something.
"""

from __future__ import annotations

import re
from functools import lru_cache, total_ordering

_NANO = 10**9
_SHAPE = re.compile(r"([+-]?)([0-9]*)(?:\.([0-9]*))?([eEinumkKMGTP]*[-+]?[0-9]*)", re.ASCII)
_BINARY = {"Ki": 10, "Mi": 20, "Gi": 30, "Ti": 40, "Pi": 50, "Ei": 60}
_DECIMAL = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_BINARY_SUFFIX = {exponent: suffix for suffix, exponent in _BINARY.items()} | {0: ""}
_DECIMAL_SUFFIX = {exponent: suffix for suffix, exponent in _DECIMAL.items()}
_MAX_BINARY = ((1 << 63) - 1) * _NANO
_MAX_EXPONENT = 300  # beyond any resource; keeps "1e999999999" from costing memory
_WRONG_FORMAT = "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"
_WRONG_SUFFIX = "unable to parse quantity's suffix"
_MAX_LENGTH = 512

DECIMAL_SI = "DecimalSI"
BINARY_SI = "BinarySI"
DECIMAL_EXPONENT = "DecimalExponent"


@total_ordering
class Quantity:
    """An immutable amount; equality and order compare amounts, not notations."""

    __slots__ = ("_nano", "_text", "format")

    def __init__(self, nano: int, notation: str = DECIMAL_SI, text: str = "") -> None:
        self._nano = nano
        self.format = notation
        self._text = text

    @staticmethod
    def parse(text: str | int | float) -> Quantity:
        """ValueError, with the server's sentence, if the text is no quantity. Numbers count as their JSON text."""
        return _parse(text if isinstance(text, str) else repr(text))

    @staticmethod
    def of(value: int, notation: str = DECIMAL_SI) -> Quantity:
        return Quantity(value * _NANO, notation)

    @staticmethod
    def of_milli(value: int, notation: str = DECIMAL_SI) -> Quantity:
        return Quantity(value * 10**6, notation)

    def value(self) -> int:
        """Whole units, rounded away from zero."""
        return _divided(self._nano, _NANO)

    def milli_value(self) -> int:
        """Thousandths, rounded away from zero."""
        return _divided(self._nano, 10**6)

    def nano_value(self) -> int:
        return self._nano

    def __float__(self) -> float:
        return self._nano / _NANO

    @property
    def is_whole(self) -> bool:
        return self._nano % _NANO == 0

    @property
    def sign(self) -> int:
        return (self._nano > 0) - (self._nano < 0)

    def __bool__(self) -> bool:
        return self._nano != 0

    def __add__(self, other: Quantity) -> Quantity:
        return Quantity(self._nano + other._nano, self.format if self._nano else other.format)

    def __sub__(self, other: Quantity) -> Quantity:
        return Quantity(self._nano - other._nano, self.format if self._nano else other.format)

    def __mul__(self, factor: int) -> Quantity:
        return Quantity(self._nano * factor, self.format)

    def __neg__(self) -> Quantity:
        return Quantity(-self._nano, self.format)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Quantity) and other._nano == self._nano

    def __lt__(self, other: Quantity) -> bool:
        return self._nano < other._nano

    def __hash__(self) -> int:
        return hash(self._nano)

    def __str__(self) -> str:
        """The canonical text, which is what objects are stored with."""
        if not self._text:
            self._text = self._canonical()
        return self._text

    def __repr__(self) -> str:
        return f"Quantity({str(self)!r})"

    def _canonical(self) -> str:
        if self._nano == 0:
            return "0"
        if self.format == BINARY_SI and abs(self._nano) >= 1024 * _NANO and self.is_whole:
            value, exponent = self._nano // _NANO, 0
            while value % 1024 == 0 and exponent < 60:
                value, exponent = value // 1024, exponent + 10
            return f"{value}{_BINARY_SUFFIX[exponent]}"
        value, exponent = self._nano, -9
        top = _MAX_EXPONENT if self.format == DECIMAL_EXPONENT else 18
        while value % 1000 == 0 and exponent < top:
            value, exponent = value // 1000, exponent + 3
        if self.format == DECIMAL_EXPONENT:
            return f"{value}e{exponent}" if exponent else str(value)
        return f"{value}{_DECIMAL_SUFFIX[exponent]}"


ZERO = Quantity(0)


def _divided(value: int, by: int) -> int:
    """Integer division rounded away from zero."""
    return -(-value // by) if value >= 0 else value // by


def _suffix(suffix: str) -> tuple[int, int, str]:
    """Base, exponent and notation of a suffix."""
    if suffix in _BINARY:
        return 2, _BINARY[suffix], BINARY_SI
    if suffix in _DECIMAL:
        return 10, _DECIMAL[suffix], DECIMAL_SI
    if len(suffix) > 1 and suffix[0] in "eE":
        try:
            exponent = int(suffix[1:])
        except ValueError:
            raise ValueError(_WRONG_SUFFIX) from None
        if exponent > _MAX_EXPONENT:
            raise ValueError(_WRONG_SUFFIX)
        return 10, max(exponent, -_MAX_EXPONENT), DECIMAL_EXPONENT
    raise ValueError(_WRONG_SUFFIX)


def _is_canonical(whole: str, fraction: str, base: int, exponent: int) -> bool:
    """Whether the text as written may be kept; the others are stored in the canonical spelling."""
    if base == 2:
        precision = 15 - len(whole) - exponent * 3 // 10 - 1
        return not fraction and precision >= 0 and int(whole) & 7 != 0
    shifted = whole + fraction
    scale = exponent - len(fraction)
    return len(shifted) <= 18 and scale >= -9 and scale % 3 == 0 and not shifted.endswith("000") and shifted[0] != "0"


@lru_cache(maxsize=8192)
def _parse(text: str) -> Quantity:
    match = _SHAPE.fullmatch(text) if 0 < len(text) <= _MAX_LENGTH else None
    if match is None:
        raise ValueError(_WRONG_FORMAT)
    sign, whole, fraction, suffix = match.groups()
    whole = whole.lstrip("0") or "0"
    fraction = fraction or ""
    base, exponent, notation = _suffix(suffix)
    digits = int(whole + fraction)
    if digits == 0:
        return Quantity(0, notation)
    if base == 2:
        numerator, denominator = digits * _NANO << exponent, 10 ** len(fraction)
    else:
        power = exponent - len(fraction) + 9
        numerator, denominator = digits * 10 ** max(power, 0), 10 ** max(-power, 0)
    nano = -(-numerator // denominator)
    if notation == BINARY_SI:
        nano = min(nano, _MAX_BINARY)
        if nano < _NANO:
            notation = DECIMAL_SI
    kept = text if _is_canonical(whole, fraction, base, exponent) else ""
    return Quantity(-nano if sign == "-" else nano, notation, kept)


def canonical(text: str | int | float) -> str:
    """The text a quantity is stored with; ValueError if it is none."""
    return str(Quantity.parse(text))
