"""When a member writes a snapshot of its own, and how: in slices beside the loop, so that requests go on meanwhile.

The state machine yields its state in slices of a few milliseconds; each is written by a thread while the loop serves
others. Only when the file is durable the log gets its marker, and only then older segments and entries go.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Generator
from dataclasses import dataclass

from etcd_raft.raft import SnapshotMeta
from etcd_raft.replica import Replica

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class SnapshotPolicy:
    """A snapshot is due after `entries`, if what it frees is worth its size, or when memory or replay get large."""

    entries: int = 10_000
    log_bytes: int = 64 << 20
    patience: int = 10
    """After this many times `entries` it is due however large the state is."""

    def is_due(self, entries: int, log_bytes: int, last_size: int) -> bool:
        if entries == 0:
            return False
        if log_bytes >= max(self.log_bytes, last_size // 2) or entries >= self.patience * self.entries:
            return True
        return entries >= self.entries and log_bytes >= last_size // 4


class Snapshotter:
    """`on_disk` runs a function in the thread that owns the write-ahead log."""

    def __init__(
        self, replica: Replica, policy: SnapshotPolicy, on_disk: Callable[[Callable[[], None]], Awaitable[None]]
    ) -> None:
        self._replica = replica
        self._policy = policy
        self._on_disk = on_disk
        self._last_size = 0
        self._base_index = replica.applied_index
        self.is_running = False

    def is_due(self) -> bool:
        replica = self._replica
        base = max(self._base_index, replica.snapshot_index)
        entries = replica.applied_index - base
        return not self.is_running and self._policy.is_due(entries, replica.bytes_since_snapshot, self._last_size)

    async def write(self) -> None:
        """Write one snapshot. OSError leaves the old state as it was; the next attempt comes after more entries."""
        self.is_running = True
        try:
            await self._write()
        except OSError as problem:
            log.error("cannot write a snapshot, the log keeps growing meanwhile: %s", problem)
        finally:
            self.is_running = False

    async def _write(self) -> None:
        replica = self._replica
        meta, roster = replica.snapshot_meta(), replica.roster.encode()
        self._base_index, replica.bytes_since_snapshot = meta.index, 0
        slices = replica.state_machine.snapshot()
        chunk = next(slices, None)  # Generators begin to look at the state only here.
        writer = await asyncio.to_thread(replica.storage.create_snapshot, meta, roster)
        try:
            while chunk is not None:
                await asyncio.to_thread(writer.write, chunk)
                chunk = next(slices, None)
            file = await asyncio.to_thread(writer.finish)
        except BaseException:
            writer.abort()
            raise
        finally:
            if isinstance(slices, Generator):
                slices.close()  # The state machine may keep history for as long as it is read.
        await self._mark(meta)
        self._last_size = file.size
        log.info("wrote a snapshot of %d bytes up to entry %d", file.size, meta.index)

    async def _mark(self, meta: SnapshotMeta) -> None:
        replica = self._replica
        if meta.index <= replica.snapshot_index:
            return  # The leader sent a newer one meanwhile.
        await self._on_disk(lambda: replica.storage.mark_snapshot(meta))
        replica.snapshot_is_durable(meta)
