"""Reads without log entries (thesis section 6.4): a read waits until a majority confirms that the leader still leads.

Each request remembers the commit index at its arrival. Heartbeats carry the newest request's context; a majority that
echoes it confirms that request and all older ones.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field


@dataclass(slots=True)
class PendingRead:
    requester: int
    context: bytes
    index: int
    confirmed_by: dict[int, bool] = field(default_factory=dict)


class ReadQueue:
    __slots__ = ("_pending", "waiting_for_commit")

    def __init__(self) -> None:
        self._pending: OrderedDict[bytes, PendingRead] = OrderedDict()
        self.waiting_for_commit: list[tuple[int, bytes]] = []
        """Reads that came before the leader committed an entry of its own term."""

    def add(self, requester: int, context: bytes, index: int) -> None:
        if context not in self._pending:
            self._pending[context] = PendingRead(requester, context, index)

    def newest_context(self) -> bytes:
        return next(reversed(self._pending)) if self._pending else b""

    def confirm(self, member: int, context: bytes) -> dict[int, bool]:
        """Who has confirmed `context` so far; empty if it is not pending."""
        read = self._pending.get(context)
        if read is None:
            return {}
        read.confirmed_by[member] = True
        return read.confirmed_by

    def release(self, context: bytes) -> list[PendingRead]:
        """Take out the confirmed read and everything before it."""
        released = []
        while self._pending:
            read = self._pending.popitem(last=False)[1]
            released.append(read)
            if read.context == context:
                break
        return released
