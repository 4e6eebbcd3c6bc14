"""Randomness as a port: what draws takes an `Rng`, so that one seed replays a run. Only here is random imported."""

from __future__ import annotations

import os
import random
from collections.abc import Sequence
from typing import Protocol, TypeVar

T = TypeVar("T")
#: The digit that holds a UUID's variant, by a random one.
_VARIANTS = {digit: "89ab"[number % 4] for number, digit in enumerate("0123456789abcdef")}
_LETTERS = "bcdfghjklmnpqrstvwxz2456789"


class Rng(Protocol):
    def random(self) -> float: ...

    def uniform(self, a: float, b: float) -> float: ...

    def randrange(self, start: int, stop: int | None = None) -> int: ...

    def choice(self, seq: Sequence[T]) -> T: ...

    def getrandbits(self, k: int) -> int: ...


def uuid4() -> str:
    """A random UUID as text; `uuid.uuid4` takes three times as long, and every request wants one."""
    text = os.urandom(16).hex()
    return f"{text[:8]}-{text[8:12]}-4{text[13:16]}-{_VARIANTS[text[16]]}{text[17:20]}-{text[20:]}"


def suffix(rng: Rng) -> str:
    """Five characters that make a name of its own, as upstream picks them: no vowels, so that no words appear.

    Drawn as one number, since each draw from the operating system is a system call.
    """
    number, letters = rng.randrange(len(_LETTERS) ** 5), ""
    for _ in range(5):
        number, index = divmod(number, len(_LETTERS))
        letters += _LETTERS[index]
    return letters


def system_rng() -> Rng:
    """From the operating system's entropy; fit for tokens and identifiers."""
    return random.SystemRandom()


def seeded(seed: int) -> Rng:
    """The same numbers for the same seed, on every machine."""
    return random.Random(seed)
