"""Mistakes made on purpose, one at a time: the simulation has to catch each within a few dozen seeds.

This is what says that a green run means something. Each mistake is one that stores like this have been shipped with.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from etcd_raft.auth.accounts import Accounts
from etcd_raft.lease.expiry import LeaseClock
from etcd_raft.lease.table import LeaseTable
from etcd_raft.mvcc.keyspace import Keyspace
from etcd_raft.mvcc.watching import WatchTable
from etcd_raft.node import RaftNode
from etcd_raft.raft import HardState, LostEntriesError, RawNode, ReadState, leading
from etcd_raft.raft.log import RaftLog
from etcd_raft.raft.progress import Progress
from etcd_raft.server import watch
from etcd_raft.server.lease import Lessor
from etcd_raft.storage import Storage
from etcd_raft.wal import CorruptionError
from tests.sim.disk import SimulatedDisk, SimulatedFile
from tests.sim.storms import Storm
from tests.sim.test_cluster import SEEDS, storm

Mistake = Callable[[pytest.MonkeyPatch], None]


def replicas(seed: int) -> None:
    storm(seed, changes_members=seed % 3 == 0)


def whole(seed: int) -> None:
    Storm(seed).run()


def caught(run: Callable[[int], object], seeds: range) -> int:
    """The first seed that notices."""
    for seed in seeds:
        try:
            run(seed)
        except (AssertionError, CorruptionError, LostEntriesError, ExceptionGroup):
            return seed
    pytest.fail(f"no seed of {seeds} notices")


# Mistakes of the replicas


def commits_without_a_quorum(patch: pytest.MonkeyPatch) -> None:
    def commit(raft: Any) -> bool:
        index = max(progress.match for progress in raft.progress.values())
        if index <= raft.log.committed or raft.log.term(index) != raft.term:
            return False
        raft.log.commit_to(index)
        leading._release_waiting_reads(raft)
        leading.broadcast_append(raft)
        return True

    patch.setattr(leading, "commit_and_broadcast", commit)


def answers_before_it_syncs(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(SimulatedFile, "sync", lambda self: None)


def forgets_to_sync_directories(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(SimulatedDisk, "sync_directory", lambda self, path: None)


def forgets_term_and_vote_on_restart(patch: pytest.MonkeyPatch) -> None:
    """PySyncObj 202."""
    plain = Storage.open

    def opened(self: Storage, bootstrap: Any = ()) -> Any:
        restart = plain(self, bootstrap)
        return type(restart)(restart.identity, restart.snapshot, HardState(0, 0, restart.meta.index), restart.entries)

    patch.setattr(Storage, "open", opened)


def appends_without_matching(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(RaftLog, "matches", lambda self, index, term: index <= self.last_index)


def votes_for_the_shorter_log(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(RaftLog, "is_up_to_date", lambda self, index, term: True)


def reads_without_a_majority(patch: pytest.MonkeyPatch) -> None:
    def read_index(self: RawNode, context: bytes) -> bool:
        if self.raft.role.value != "leader":
            return self.raft.read_index(context)
        self.raft.read_states.append(ReadState(self.log.committed, context))
        return True

    patch.setattr(RawNode, "read_index", read_index)


def counts_acknowledgements_that_were_rejected(patch: pytest.MonkeyPatch) -> None:
    plain = Progress.rejected

    def rejected(self: Progress, index: int, hint: int) -> bool:
        self.match = max(self.match, index)
        return plain(self, index, hint)

    patch.setattr(Progress, "rejected", rejected)


# Mistakes above them


def loses_the_events_of_the_compacted_revision(patch: pytest.MonkeyPatch) -> None:
    """etcd 18089."""
    plain = Keyspace.prune

    def prune(self: Keyspace, revisions: int) -> None:
        plain(self, revisions)
        if self.log and self.log_start == self.compacted:
            self.log[0] = tuple(record for record in self.log[0] if record.version)

    patch.setattr(Keyspace, "prune", prune)


def forgets_watchers_when_a_snapshot_comes(patch: pytest.MonkeyPatch) -> None:
    def reset(self: WatchTable, space: Keyspace) -> None:
        self._space, self._published = space, space.revision

    patch.setattr(WatchTable, "reset", reset)


def notices_progress_at_once(patch: pytest.MonkeyPatch) -> None:
    """etcd 15220: the notice overtook events that were still waiting."""
    plain = watch._Stream.receive

    async def receive(self: Any, requests: Any) -> None:
        async def overtaken() -> AsyncIterator[Any]:
            async for request in requests:
                if request.WhichOneof("request_union") == "progress_request":
                    self._answer(-1)
                    self._wake.set()
                else:
                    yield request

        await plain(self, overtaken())

    patch.setattr(watch._Stream, "receive", receive)


def tells_full_streams_nothing_of_what_they_missed(patch: pytest.MonkeyPatch) -> None:
    plain = watch._Stream.offer

    def offer(self: Any, watcher: Any, events: bytes, revision: int) -> bool:
        return True if self._pending else plain(self, watcher, events, revision)

    patch.setattr(watch._Stream, "offer", offer)


def ends_leases_on_a_follower(patch: pytest.MonkeyPatch) -> None:
    """Each member by its own clock, from when it saw the lease granted."""
    patch.setattr(LeaseClock, "renewed", lambda self, lease: None)


def forgets_leases_in_snapshots(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(LeaseTable, "rows", lambda self: [])


def never_ends_a_lease(patch: pytest.MonkeyPatch) -> None:
    async def lead(self: Lessor, term: int) -> None:
        pass

    patch.setattr(Lessor, "_lead", lead)


def reads_what_is_here_already(patch: pytest.MonkeyPatch) -> None:
    async def read_index(self: RaftNode) -> None:
        pass

    patch.setattr(RaftNode, "read_index", read_index)


def lets_everybody_write(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Accounts, "check", lambda self, caller, key, range_end, kind: None)


MISTAKES: list[tuple[Mistake, Callable[[int], object], range]] = [
    (commits_without_a_quorum, replicas, range(1, 60)),
    (answers_before_it_syncs, replicas, range(1, 60)),
    (forgets_to_sync_directories, replicas, range(1, 60)),
    (forgets_term_and_vote_on_restart, replicas, range(1, 60)),
    (appends_without_matching, replicas, range(1, 60)),
    (votes_for_the_shorter_log, replicas, range(1, 60)),
    (counts_acknowledgements_that_were_rejected, replicas, range(1, 60)),
    (reads_without_a_majority, replicas, range(1, 90)),
    (reads_what_is_here_already, whole, range(1, 60)),
    (tells_full_streams_nothing_of_what_they_missed, whole, range(1, 60)),
    (ends_leases_on_a_follower, whole, range(1, 60)),
    (forgets_leases_in_snapshots, whole, range(1, 60)),
    (never_ends_a_lease, whole, range(1, 60)),
    (lets_everybody_write, whole, range(2, 80, 7)),
]
#: These take a rare coincidence, hence minutes; each has a test of its own in `tests/unit/etcd_raft` as well.
RARE: list[tuple[Mistake, Callable[[int], object], range]] = [
    (loses_the_events_of_the_compacted_revision, whole, range(1, 300)),
    (forgets_watchers_when_a_snapshot_comes, whole, range(1, 300)),
    (notices_progress_at_once, whole, range(1, 300)),
]


@pytest.mark.timeout(0)
@pytest.mark.parametrize(
    ("mistake", "run", "seeds"),
    MISTAKES + (RARE if SEEDS > 300 else []),
    ids=lambda value: value.__name__ if callable(value) else "",
)
def test_the_mistake_is_caught(
    mistake: Mistake, run: Callable[[int], object], seeds: range, monkeypatch: pytest.MonkeyPatch
) -> None:
    mistake(monkeypatch)
    print(f"{mistake.__name__}: caught by seed {caught(run, seeds)}")
