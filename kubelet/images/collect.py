"""Image garbage collection: which images to remove when the image filesystem runs full. The choice is pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class StoredImage:
    id: str
    size: int
    last_used: float
    first_seen: float
    pinned: bool = False


@dataclass(frozen=True, slots=True)
class CollectPolicy:
    """Above `high` per cent used, remove the least recently used images until `low` per cent."""

    high: int = 85
    low: int = 80
    minimum_age: float = 120.0


def images_to_remove(
    images: Iterable[StoredImage], in_use: Iterable[str], *, capacity: int, used: int, policy: CollectPolicy, now: float
) -> list[str]:
    if capacity <= 0 or used * 100 < policy.high * capacity:
        return []
    busy = set(in_use)
    wanted = used - capacity * policy.low // 100
    chosen: list[str] = []
    freed = 0
    for image in sorted(images, key=lambda i: (i.last_used, i.first_seen)):
        if freed >= wanted:
            break
        if image.id in busy or image.pinned or now - image.first_seen < policy.minimum_age:
            continue
        chosen.append(image.id)
        freed += image.size
    return chosen


def note_use(
    known: Mapping[str, tuple[float, float]], present: Iterable[str], in_use: Iterable[str], now: float
) -> dict[str, tuple[float, float]]:
    """Image id -> (first seen, last used), brought up to date; images that are gone are dropped."""
    busy = set(in_use)
    out: dict[str, tuple[float, float]] = {}
    for image in present:
        first, last = known.get(image, (now, 0.0))
        out[image] = (first, now if image in busy else last)
    return out
