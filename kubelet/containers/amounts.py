"""Resource amounts as integers: millicores and bytes, rounded up as the runtime needs them."""

from collections.abc import Mapping
from fractions import Fraction

from kubelet.pod import Amount

_SUFFIXES: dict[str, Fraction] = {
    "n": Fraction(1, 10**9),
    "u": Fraction(1, 10**6),
    "m": Fraction(1, 1000),
    "": Fraction(1),
    "k": Fraction(10**3),
    "M": Fraction(10**6),
    "G": Fraction(10**9),
    "T": Fraction(10**12),
    "P": Fraction(10**15),
    "E": Fraction(10**18),
    "Ki": Fraction(2**10),
    "Mi": Fraction(2**20),
    "Gi": Fraction(2**30),
    "Ti": Fraction(2**40),
    "Pi": Fraction(2**50),
    "Ei": Fraction(2**60),
}


def exact(amount: Amount) -> Fraction:
    text = str(amount).strip()
    number = text.rstrip("numkKMGTPEi")
    suffix = text[len(number) :]
    if suffix not in _SUFFIXES:
        raise ValueError(f"{text!r} is not a quantity")
    return Fraction(number) * _SUFFIXES[suffix]


def ceil_div(value: Fraction, divisor: Fraction) -> int:
    return -((-value) // divisor)


def millis(amount: Amount) -> int:
    return ceil_div(exact(amount), Fraction(1, 1000))


def whole(amount: Amount) -> int:
    return ceil_div(exact(amount), Fraction(1))


def of(table: Mapping[str, Amount] | None, resource: str) -> Amount | None:
    return None if table is None else table.get(resource)
