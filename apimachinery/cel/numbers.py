"""Integers of 64 bits; in the evaluator an int is a Python int, a uint a `UInt`, a double a float."""

from __future__ import annotations

from typing import Final

INT_MIN: Final = -(1 << 63)
INT_MAX: Final = (1 << 63) - 1
UINT_MAX: Final = (1 << 64) - 1


class UInt(int):
    """An unsigned integer. Arithmetic on it gives plain ints: whoever calculates wraps the result."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"{int(self)}u"
