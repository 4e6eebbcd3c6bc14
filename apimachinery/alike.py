"""What was found out about one object holds for those like it: replicas of a template differ in little.

A controller makes a hundred pods from one template; whether such a spec is valid, and which fields its writer owns,
is the same for all of them. Answers are kept under a digest of the part of the object that they depend on, which costs
a hundredth of working them out again.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Any, Generic, TypeVar

import orjson

T = TypeVar("T")


class Remembered(Generic[T]):
    """Answers by content, at most `size` of them: the older half goes when there are more."""

    def __init__(self, size: int = 512) -> None:
        self._size = size
        self._known: dict[bytes, T] = {}

    def get(self, content: bytes) -> T | None:
        """Shared with everybody who asks: not to be changed."""
        return self._known.get(_digest(content))

    def keep(self, content: bytes, answer: T) -> None:
        if len(self._known) >= self._size:
            for old in list(self._known)[: self._size // 2]:
                self._known.pop(old, None)  # another thread may be at it, too
        self._known[_digest(content)] = answer


def _digest(content: bytes) -> bytes:
    return blake2b(content, digest_size=16).digest()


def content(value: Any) -> bytes:
    """Equal bytes mean equal values, their order included; b"" for what has no such form (numbers out of range)."""
    try:
        return orjson.dumps(value)
    except TypeError:
        return b""
