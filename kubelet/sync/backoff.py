"""Exponential delay between restarts of the same container, or pulls of the same image: 10 s doubling to 5 min.

Pure: the caller passes the clock. An entry is forgotten once twice the maximum has passed without a further failure.
"""

from dataclasses import dataclass, field


@dataclass(slots=True)
class _Entry:
    delay: float
    since: float


@dataclass(slots=True)
class Backoff:
    initial: float = 10.0
    maximum: float = 300.0
    _entries: dict[str, _Entry] = field(default_factory=dict)

    def delay(self, key: str, event_at: float) -> float:
        """The delay that counts from `event_at` (the exit, or the failed pull); 0 when none is owed."""
        entry = self._entries.get(key)
        if entry is None or event_at - entry.since > 2 * self.maximum:
            return 0.0
        return entry.delay

    def until(self, key: str, event_at: float) -> float:
        return event_at + self.delay(key, event_at)

    def next(self, key: str, event_at: float, now: float) -> None:
        """Called when the action is tried again: the following failure waits longer."""
        entry = self._entries.get(key)
        if entry is None or event_at - entry.since > 2 * self.maximum:
            self._entries[key] = _Entry(self.initial, now)
            return
        entry.delay = min(entry.delay * 2, self.maximum)
        entry.since = now

    def forget(self, key: str) -> None:
        self._entries.pop(key, None)
