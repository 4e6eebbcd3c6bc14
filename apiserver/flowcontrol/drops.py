"""How long a refused client is told to wait: the more is refused at its level, the longer, as TCP backs off."""

from __future__ import annotations

from collections import deque

MAX_SECONDS = 32
#: So many refusals for each second of the present wait double it; queues hold much, so few are enough.
MANY = 3


class Drops:
    """The refusals of one priority level. `now` in seconds, never falling; whole seconds count."""

    def __init__(self) -> None:
        self.retry_after = 1
        self._second = 0
        self._count = 0
        self._history: deque[tuple[int, int]] = deque()
        self._doubled = 0

    def add(self, now: float) -> None:
        """One more refusal. The wait is thought over when a second begins, by the seconds before it."""
        second = int(now)
        if second == self._second:
            self._count += 1
            return
        self._history.append((self._second, self._count))
        self._second, self._count = second, 1
        oldest = second - min(2 * self.retry_after, MAX_SECONDS)
        while self._history and self._history[0][0] < oldest:
            self._history.popleft()
        self._think(second)

    def _think(self, second: int) -> None:
        wait = self.retry_after
        refused = sum(count for when, count in self._history if second - wait <= when < second)
        if refused >= MANY * wait and second - self._doubled >= wait:
            self.retry_after = min(2 * wait, MAX_SECONDS)
            self._doubled = second
        elif refused < wait:
            self.retry_after = max(1, wait - 1)
