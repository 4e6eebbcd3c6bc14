"""What a watch says when nothing happens: a bookmark when one is due, and its end."""

from types import SimpleNamespace
from typing import Any

import pytest

from apiserver.endpoints.watch import BEFORE_END_SECONDS, Stream
from component_base.clock import ManualClock


class QuietWatcher:
    """Nothing ever changes; its waits end `early` seconds before they should, as the loop's timers do."""

    closed = False

    def __init__(self, clock: ManualClock, early: float) -> None:
        self._clock = clock
        self._early = early
        self.waits = 0

    async def wait(self, seconds: float) -> bool:
        self.waits += 1
        assert self.waits < 20, "it does not come to its end"
        self._clock.advance(max(0.0, seconds - self._early))
        return False

    def take(self) -> bytes:
        return b""


@pytest.mark.parametrize("early", [0.0, 0.0009])
@pytest.mark.parametrize(("timeout", "bookmarks"), [(1.0, 1), (30.0, 1), (100.0, 2)])
async def test_a_quiet_watch_has_few_bookmarks_and_ends_in_time(early: float, timeout: float, bookmarks: int) -> None:
    clock = ManualClock()
    sent: list[float] = []

    def push(data: bytes) -> bool:
        sent.append(clock.monotonic())
        return True

    core: Any = SimpleNamespace(clock=clock, feed=SimpleNamespace(revision=7))
    exchange: Any = SimpleNamespace(is_paused=False, push=push)
    renderer: Any = SimpleNamespace(bookmark=lambda revision, initial: b"bookmark")
    cache: Any = SimpleNamespace(at=lambda revision: revision)
    began = clock.monotonic()
    watcher: Any = QuietWatcher(clock, early)
    await Stream(core, exchange, cache, watcher, renderer, timeout, True)._follow()
    assert len(sent) == bookmarks
    assert sent[-1] - began == pytest.approx(max(0.0, timeout - BEFORE_END_SECONDS), abs=0.01)
    assert clock.monotonic() - began == pytest.approx(timeout, abs=0.01)
