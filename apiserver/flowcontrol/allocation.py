"""How the server's seats are divided among priority levels, and lent by those that need few. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from apiserver.flowcontrol.queues import Shape

JSON = dict[str, Any]
DEFAULT_SHARES = 30
#: How slowly the demand that is remembered falls.
SMOOTHING = 0.977


@dataclass(frozen=True, slots=True)
class Settings:
    """Of one level. `exempt`: never limited, but what it uses is missing to others."""

    name: str
    uid: str
    exempt: bool
    shares: int
    lendable_percent: int
    borrowing_percent: int | None
    shape: Shape


def settings_of(obj: JSON) -> Settings:
    spec = obj["spec"]
    exempt = spec.get("type") == "Exempt"
    part = spec.get("exempt" if exempt else "limited") or {}
    shares = part.get("nominalConcurrencyShares")
    shares = (0 if exempt else DEFAULT_SHARES) if shares is None else shares
    response = part.get("limitResponse") or {}
    shape = Shape()
    if not exempt and response.get("type") == "Queue":
        queuing = response.get("queuing") or {}
        shape = Shape(queuing.get("queues") or 64, queuing.get("handSize") or 8, queuing.get("queueLengthLimit") or 50)
    metadata = obj["metadata"]
    return Settings(
        metadata["name"],
        metadata.get("uid") or "",
        exempt,
        int(shares),
        int(part.get("lendablePercent") or 0),
        part.get("borrowingLimitPercent"),
        shape,
    )


@dataclass(frozen=True, slots=True)
class Seats:
    """A level's share of the server: what it gets at least, as a rule, and at most."""

    nominal: int
    least: int
    most: int


def nominal(server: int, levels: Sequence[Settings]) -> dict[str, Seats]:
    total = sum(one.shares for one in levels) or 1
    found = {}
    for one in levels:
        seats = math.ceil(server * one.shares / total)
        lendable = round(seats * one.lendable_percent / 100)
        borrowing = server if one.borrowing_percent is None else round(seats * one.borrowing_percent / 100)
        found[one.name] = Seats(seats, seats - lendable, seats + borrowing)
    return found


@dataclass(slots=True)
class Wish:
    """What a level would use: the most seats it wanted lately, and its demand with the memory of higher ones."""

    highest: int = 0
    smoothed: float = 0.0

    def update(self, highest: int, mean: float, deviation: float) -> None:
        envelope = mean + deviation
        self.highest = highest
        self.smoothed = max(envelope, SMOOTHING * self.smoothed + (1 - SMOOTHING) * envelope)


def current(
    server: int, levels: Sequence[Settings], seats: Mapping[str, Seats], wishes: Mapping[str, Wish]
) -> dict[str, int]:
    """The limit of each level that has one, for the next while."""
    left = server
    lower: dict[str, int] = {}
    for one in levels:
        held, wish = seats[one.name], wishes[one.name]
        if one.exempt:
            left -= max(held.least, wish.highest)
        else:
            lower[one.name] = max(held.least, min(held.nominal, wish.highest))
    least = sum(seats[name].least for name in lower)
    wanted = sum(lower.values())
    if left <= least:
        return {name: seats[name].least for name in lower}
    if left <= wanted:
        part = (left - least) / (wanted - least)
        return {name: seats[name].least + round((floor - seats[name].least) * part) for name, floor in lower.items()}
    targets = {name: max(float(floor), wishes[name].smoothed) for name, floor in lower.items()}
    return _fair(float(left), {name: (float(lower[name]), float(seats[name].most), targets[name]) for name in lower})


def _fair(server: float, items: Mapping[str, tuple[float, float, float]]) -> dict[str, int]:
    """Each gets the same fraction of its target, within its bounds (lower, upper), so that all is given out."""

    def given(fraction: float) -> dict[str, float]:
        return {name: min(high, max(low, fraction * target)) for name, (low, high, target) in items.items()}

    low, high = 0.0, 1.0
    while sum(given(high).values()) < min(server, sum(one[1] for one in items.values())) - 1e-9 and high < 1e12:
        high *= 2
    for _ in range(64):
        middle = (low + high) / 2
        if sum(given(middle).values()) < server:
            low = middle
        else:
            high = middle
    return {name: round(value) for name, value in given(high).items()}


def most_seats(seats: Seats, shape: Shape) -> int:
    """What one request may take of a level: a small part, and never more than a hand of queues can stand."""
    limit = 0.15 * seats.nominal
    if shape.hand:
        limit = min(limit, seats.nominal / shape.hand)
    return max(1, math.ceil(limit))
