"""Randomness as a port: what draws takes an `Rng`, so that one seed replays a run. Only here is random imported."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Protocol, TypeVar

T = TypeVar("T")


class Rng(Protocol):
    def random(self) -> float: ...

    def uniform(self, a: float, b: float) -> float: ...

    def randrange(self, start: int, stop: int | None = None) -> int: ...

    def choice(self, seq: Sequence[T]) -> T: ...

    def getrandbits(self, k: int) -> int: ...


def system_rng() -> Rng:
    """From the operating system's entropy; fit for tokens and identifiers."""
    return random.SystemRandom()


def seeded(seed: int) -> Rng:
    """The same numbers for the same seed, on every machine."""
    return random.Random(seed)
