"""The six promises of a watch, checked against what was committed.

Ordered: revisions never go back. Unique: no event comes twice. Reliable: none is left out. Atomic: the events of one
revision come in one response, or in fragments that say so. Resumable: a watch that starts at a revision has everything
from there on, or is told that it is compacted. Bookmarkable: after a progress notice of a revision nothing at or below
it follows.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from skiff_pb.etcd import kv_pb2, rpc_pb2
from tests.history.model import Model
from tests.history.operations import Chronicle, Violation, WatchRecord

Told = tuple[int, bytes, bytes | None]
"""Revision, key, and the value or None for a deletion."""


def check(records: Iterable[WatchRecord], chronicle: Chronicle, compactions: Collection[int] = ()) -> None:
    """Raises Violation. `compactions` are the revisions at which a compaction was asked for."""
    past = _states(chronicle)
    for record in records:
        _Watch(record, chronicle, compactions, past).run()


def _states(chronicle: Chronicle) -> dict[tuple[bytes, int], kv_pb2.KeyValue | None]:
    """For each change: what its key was before."""
    model, found = Model(), {}
    for number, changes in enumerate(chronicle.changes, start=2):
        for change in changes:
            found[change.key, number] = model.message(change.key)
        model.advance(changes)
    return found


class _Watch:
    def __init__(
        self,
        record: WatchRecord,
        chronicle: Chronicle,
        compactions: Collection[int],
        past: dict[tuple[bytes, int], kv_pb2.KeyValue | None],
    ) -> None:
        self._record = record
        self._chronicle = chronicle
        self._compactions = compactions
        self._past = past
        self._first = record.request.start_revision
        self._told: list[Told] = []
        self._seen: set[tuple[int, bytes]] = set()
        self._done = 0
        """Everything up to here has been told."""
        self._is_open = False
        """The last response was a fragment that has a successor."""

    def run(self) -> None:
        for response in self._record.responses:
            if response.created:
                self._first = self._first or response.header.revision + 1
            elif response.canceled:
                self._check_cancellation(response)
            elif response.events:
                self._events(response)
            else:
                self._bookmark(response)
        if self._first:
            self._check_complete(self._chronicle.revision if self._record.is_live else self._done)

    def _fail(self, promise: str, what: str) -> None:
        raise Violation(f"not {promise}: watch of {self._record.client} ({self._record.request}) {what}")

    def _events(self, response: rpc_pb2.WatchResponse) -> None:
        ended = self._told[-1][0] if self._told and not self._is_open else 0
        for event in response.events:
            revision, key = event.kv.mod_revision, event.kv.key
            if (revision, key) in self._seen:
                self._fail("unique", f"is told twice of {key!r} at {revision}")
            if self._told and revision < self._told[-1][0]:
                self._fail("ordered", f"is told of {revision} after {self._told[-1][0]}")
            if revision <= self._done and revision != ended:
                self._fail("bookmarkable", f"is told of {revision} after it was told that {self._done} is reached")
            if revision == ended:
                self._fail("atomic", f"is told of {revision} in two responses")
            if revision < self._first:
                self._fail("resumable", f"is told of {revision}, before its start at {self._first}")
            self._seen.add((revision, key))
            self._told.append((revision, key, None if event.type == kv_pb2.Event.DELETE else event.kv.value))
            self._check_previous(event)
        if response.header.revision < self._told[-1][0]:
            self._fail("bookmarkable", f"has events of {self._told[-1][0]} in an answer of {response.header.revision}")
        self._is_open = response.fragment
        if not self._is_open:
            self._done = max(self._done, self._told[-1][0])

    def _check_previous(self, event: kv_pb2.Event) -> None:
        if not self._record.request.prev_kv:
            return
        revision = event.kv.mod_revision
        before = self._past.get((event.kv.key, revision))
        if not event.HasField("prev_kv"):
            # Compaction may have taken it, at the event's own revision or above.
            if before is not None and not any(at >= revision for at in self._compactions):
                self._fail("reliable", f"lacks the previous value of {event.kv.key!r} at {revision}")
        elif before != event.prev_kv:
            self._fail("reliable", f"has a wrong previous value of {event.kv.key!r} at {revision}")

    def _bookmark(self, response: rpc_pb2.WatchResponse) -> None:
        if self._is_open:
            self._fail("atomic", "has a notice between two fragments")
        if response.header.revision < self._done:
            self._fail("ordered", f"is noticed of {response.header.revision} after {self._done}")
        self._check_complete(response.header.revision, is_notice=True)
        self._done = max(self._done, response.header.revision)

    def _check_cancellation(self, response: rpc_pb2.WatchResponse) -> None:
        self._record.is_live = False
        needed = max(self._first, self._done + 1)
        if response.compact_revision and (
            response.compact_revision not in self._compactions or response.compact_revision <= needed
        ):
            self._fail("resumable", f"needs {needed} and is refused for a compaction at {response.compact_revision}")

    def _check_complete(self, revision: int, is_notice: bool = False) -> None:
        """Nothing is missing up to and including the revision, and nothing was invented."""
        expected = list(self._expected(revision))
        told = [told for told in self._told if told[0] <= revision]
        if told == expected:
            return
        for number, want in enumerate(expected):
            if number >= len(told) or told[number] != want:
                if number >= len(told) and is_notice:
                    promise = "bookmarkable"
                else:
                    promise = "resumable" if number == 0 and self._record.request.start_revision else "reliable"
                self._fail(promise, f"lacks {want} up to {revision}, has {told[number : number + 2]} there")
        self._fail("reliable", f"has events that never were: {told[len(expected) :]}")

    def _expected(self, revision: int) -> Iterable[Told]:
        request = self._record.request
        start, end = request.key or b"\0", request.range_end
        for at in range(max(2, self._first), revision + 1):
            for change in self._chronicle.at(at) if self._chronicle.is_told(at) else ():
                inside = change.key == start if not end else start <= change.key and (end == b"\0" or change.key < end)
                unwanted = (
                    rpc_pb2.WatchCreateRequest.NODELETE if change.value is None else rpc_pb2.WatchCreateRequest.NOPUT
                )
                if inside and unwanted not in request.filters:
                    yield at, change.key, change.value
