"""Writing the log so that the event loop loses least: in the loop while the disk is quick, in a thread otherwise.

Handing 200 microseconds of work to a thread and back costs two switches and a wait for the interpreter's lock, more
than the work lasts; but a loop that waits for a slow disk serves nobody.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from component_base.clock import Clock
from etcd_raft.raft import Ready
from etcd_raft.replica import Replica


class StoppedError(Exception):
    """The member cannot go on; says why in one sentence."""


class DiskPace:
    """Whether the disk is quick enough to be waited for: a running mean of how long syncs take, in seconds."""

    QUICK_SECONDS = 0.002
    _SHARE = 0.1

    def __init__(self) -> None:
        self._mean = 2 * self.QUICK_SECONDS

    def took(self, seconds: float) -> None:
        self._mean += self._SHARE * (seconds - self._mean)

    @property
    def is_quick(self) -> bool:
        """One stall of a fifth of a second is remembered for some twenty syncs."""
        return self._mean < self.QUICK_SECONDS


class LogDisk:
    """`synced` is told how long each write took. One thread does all that is not done in the loop, in order."""

    def __init__(self, replica: Replica, clock: Clock, synced: Callable[[float], None]) -> None:
        self._replica = replica
        self._clock = clock
        self._synced = synced
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="wal")
        self._jobs = 0
        self.pace = DiskPace()

    @property
    def is_busy(self) -> bool:
        """The thread is at work: the loop must keep off the log."""
        return self._jobs > 0

    @property
    def is_waited_for(self) -> bool:
        """Whether `persist_now` is the thing to do."""
        return self.pace.is_quick and not self.is_busy

    def persist_now(self, ready: Ready) -> None:
        """In the loop. Raises StoppedError."""
        assert not self.is_busy
        with _failing():
            self._persist(ready)

    def begin(self, ready: Ready) -> Awaitable[None]:
        """In the thread, which has begun when this returns; await `written` on it."""
        return self._submit(lambda: self._persist(ready))

    @staticmethod
    async def written(writing: Awaitable[None]) -> None:
        """Raises StoppedError."""
        with _failing():
            await writing

    async def run(self, work: Callable[[], None]) -> None:
        """Something else that touches the log. Raises StoppedError."""
        await self.written(self._submit(work))

    def close(self) -> None:
        self._thread.shutdown(wait=True)

    def _persist(self, ready: Ready) -> None:
        start = self._clock.monotonic()
        self._replica.persist(ready)
        seconds = self._clock.monotonic() - start
        self.pace.took(seconds)
        self._synced(seconds)

    def _submit(self, work: Callable[[], None]) -> Awaitable[None]:
        self._jobs += 1
        done = asyncio.get_running_loop().run_in_executor(self._thread, work)
        done.add_done_callback(self._ended)
        return done

    def _ended(self, _: object) -> None:
        self._jobs -= 1


@contextmanager
def _failing() -> Iterator[None]:
    try:
        yield
    except OSError as problem:
        raise StoppedError(
            "cannot write the log, and what reached the disk is unknown now: "
            f"{problem.strerror or problem}; free or mend the disk, then start again"
        ) from None
