"""What clients saw: each operation with the time of its call and of its answer. Material for the checkers beside it.

The same records are written by the simulation's clients and by the load generator against real processes, so one
checker judges both. Requests and answers are etcd's own messages.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from skiff_pb.etcd import kv_pb2, rpc_pb2


class Violation(AssertionError):
    """A promise of the store was broken; says which, and where."""

    def __init__(self, text: str) -> None:
        super().__init__(text if len(text) < 2000 else f"{text[:1000]} … {text[-1000:]}")


@dataclass(slots=True)
class Operation:
    """`end` None: nobody knows whether it happened; it may still happen after the client gave up."""

    client: str
    request: Any
    start: float
    end: float | None = None
    response: Any = None
    error: str = ""

    def __str__(self) -> str:
        text = " ".join(str(self.request).split())
        answered = f"at {self.response.header.revision}" if self.response is not None else self.error or "unknown"
        return f"{self.client} {type(self.request).__name__}({text}) from {self.start:.3f} to {self.end}: {answered}"


@dataclass(slots=True)
class WatchRecord:
    """One watch, as its client saw it. `is_live`: nothing ended it, so it owes everything up to the present."""

    client: str
    request: rpc_pb2.WatchCreateRequest
    responses: list[rpc_pb2.WatchResponse] = field(default_factory=list)
    is_live: bool = True


@dataclass(frozen=True, slots=True)
class Change:
    """A key as one revision left it; `value` None: deleted."""

    key: bytes
    value: bytes | None
    lease: int = 0

    @classmethod
    def of(cls, kv: kv_pb2.KeyValue) -> Change:
        """A record of the store: version 0 is a deletion."""
        return cls(kv.key, kv.value, kv.lease) if kv.version else cls(kv.key, None)


class Chronicle:
    """What was committed: the changes of revision 2, 3, … in order. Every member has to tell the same story.

    `times` says of each when it was first told: by then it was committed.
    """

    def __init__(self) -> None:
        self.changes: list[tuple[Change, ...]] = []
        self.times: list[float] = []

    @property
    def revision(self) -> int:
        return len(self.changes) + 1

    def tell(self, teller: str, revision: int, changes: Sequence[Change], now: float = math.inf) -> None:
        if revision <= self.revision:
            known = self.at(revision)
            if known != tuple(changes):
                raise Violation(f"{teller} has another revision {revision}: {tuple(changes)} instead of {known}")
            return
        if revision != self.revision + 1:
            raise Violation(f"{teller} jumps to revision {revision}; {self.revision} was the last one known")
        self.changes.append(tuple(changes))
        self.times.append(now)

    def at(self, revision: int) -> tuple[Change, ...]:
        return self.changes[revision - 2]

    def told_at(self, revision: int) -> float:
        return self.times[revision - 2]

    def is_told(self, revision: int) -> bool:
        return 2 <= revision <= self.revision
