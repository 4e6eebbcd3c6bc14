"""An asyncio loop on virtual time whose tasks belong to processes that can be killed and stopped.

Nothing in it waits: when nobody can run, time jumps to the next timer. What a process starts inherits `PROCESS`
through asyncio's contexts; so a killed process's work is dropped where it stands, and a stopped one's is put aside
until it goes on. Work for threads is handed to the process, which decides when and whether it is done.
"""

from __future__ import annotations

import asyncio
import contextvars
import heapq
from collections.abc import Callable
from typing import Any, Protocol


class Process(Protocol):
    is_stopped: bool
    parked: list[asyncio.Handle]
    tasks: dict[asyncio.Task[Any], None]

    def in_thread(self, executor: object, work: Callable[[], Any], done: asyncio.Future[Any]) -> None: ...


PROCESS: contextvars.ContextVar[Process | None] = contextvars.ContextVar("PROCESS", default=None)


class StuckError(Exception):
    """Everybody waits and no timer is set: the simulation would stand still for ever."""


class _NoSelector:
    def close(self) -> None:
        pass


class VirtualLoop(asyncio.BaseEventLoop):
    """Otherwise as the real loop: callbacks run in the order of their scheduling, timers in that of their time."""

    def __init__(self) -> None:
        super().__init__()
        self._virtual_now = 0.0
        self._timers = 0
        self._queue: list[tuple[float, int, asyncio.TimerHandle]] = []
        self._selector = _NoSelector()

    def time(self) -> float:
        return self._virtual_now

    def call_at(  # type: ignore[override]
        self, when: float, callback: Any, *args: Any, context: Any = None
    ) -> asyncio.TimerHandle:
        timer = asyncio.TimerHandle(when, callback, args, self, context)
        self._timers += 1
        heapq.heappush(self._queue, (when, self._timers, timer))
        return timer

    def call_later(  # type: ignore[override]
        self, delay: float, callback: Any, *args: Any, context: Any = None
    ) -> asyncio.TimerHandle:
        return self.call_at(self._virtual_now + delay, callback, *args, context=context)

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        pass  # It is skipped when its time comes.

    def run_in_executor(self, executor: Any, func: Callable[..., Any], *args: Any) -> asyncio.Future[Any]:  # type: ignore[override]
        process = PROCESS.get()
        assert process is not None, "only a simulated process has threads"
        done: asyncio.Future[Any] = self.create_future()
        process.in_thread(executor, lambda: func(*args), done)
        return done

    def _run_once(self) -> None:
        ready: Any = self._ready  # type: ignore[attr-defined]
        if not ready:
            if not self._queue:
                raise StuckError("nobody can run and no timer is set")
            self._virtual_now = max(self._virtual_now, self._queue[0][0])
        while self._queue and self._queue[0][0] <= self._virtual_now:
            ready.append(heapq.heappop(self._queue)[2])
        for _ in range(len(ready)):
            handle = ready.popleft()
            if handle.cancelled():
                continue
            process = handle._context.get(PROCESS)
            if process is not None and process.is_stopped:
                process.parked.append(handle)
            else:
                handle._run()

    def resume(self, process: Process) -> None:
        """What a stopped process has put aside runs now."""
        parked, process.parked = process.parked, []
        self._ready.extend(parked)  # type: ignore[attr-defined]

    def _write_to_self(self) -> None:
        pass

    def _process_events(self, event_list: Any) -> None:
        pass
