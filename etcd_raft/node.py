"""One member in an event loop: the `ports.Node` that servicers hold, around `Replica`.

One task works on Readys, one after the other, and has the log written (`logdisk`). Proposals that come meanwhile wait
together and share the next append, those that other members forward as well. Messages never wait for the disk unless
they must.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from component_base.clock import Clock
from component_base.rng import Rng
from etcd_raft import changes
from etcd_raft.logdisk import LogDisk, StoppedError
from etcd_raft.ports import (
    LeadershipCallback,
    Member,
    NodeStatus,
    Refusal,
    StatusCode,
    Waiter,
    precondition,
    unavailable,
)
from etcd_raft.proposals import Proposals
from etcd_raft.raft import Change, ChangeKind, EntryKind, Kind, LostEntriesError, Message, Ready, Role
from etcd_raft.reads import ReadRounds
from etcd_raft.replica import Replica
from etcd_raft.roster import MemberWords, encode_words, member_id
from etcd_raft.snapshotting import SnapshotPolicy, Snapshotter

log = logging.getLogger(__name__)


class Transport(Protocol):
    """Carries messages, unreliably. What fails is reported through `Node.peer_unreachable` and `snapshot_sent`."""

    def send(self, messages: Iterable[Message]) -> None: ...

    def set_peers(self, members: Sequence[Member]) -> None:
        """The members but oneself, whenever they change."""
        ...

    async def promote(self, leader: int, member_id: int) -> None:
        """Ask the leader to promote a learner. Raises Refusal."""
        ...


class NodeMetrics(Protocol):
    """What the node reports as it happens; everything else is read from `Node.status` when it is asked for."""

    def wal_synced(self, seconds: float) -> None: ...
    def proposal_failed(self) -> None: ...
    def leader_changed(self) -> None: ...
    def applied(self, seconds: float) -> None: ...
    def read_failed(self) -> None: ...


@dataclass(frozen=True, slots=True)
class NodeOptions:
    tick_seconds: float = 0.1
    request_seconds: float = 7.0
    """How long a proposal or a read may wait: etcd's 5 s and two election timeouts."""
    max_request_bytes: int = 1_572_864
    name: str = ""
    client_urls: tuple[str, ...] = ()
    snapshots: SnapshotPolicy = field(default_factory=SnapshotPolicy)
    seeds: tuple[Member, ...] = ()
    """Members to talk to until the log has told this one of the cluster it joins."""


class RaftNode:
    """Construct it, then keep `run` running. `run` ends by StoppedError, or when cancelled."""

    def __init__(
        self,
        replica: Replica,
        transport: Transport,
        clock: Clock,
        rng: Rng,
        options: NodeOptions,
        metrics: NodeMetrics,
    ) -> None:
        self._replica = replica
        self._raw = replica.raw
        self._transport = transport
        self._clock = clock
        self._options = options
        self._metrics = metrics
        self._disk = LogDisk(replica, clock, metrics.wal_synced)
        self._is_something_unsent = False
        self._wake = asyncio.Event()
        # Entries of an earlier life are applied again after a restart; a number must never meet its namesake there.
        first_number = rng.getrandbits(31) << 32
        self._proposals = Proposals(replica, clock, options.request_seconds, first_number, self._wake, metrics)
        self._reads = ReadRounds(replica.member_id, first_number, self._raw.read_index)
        self._snapshotter = Snapshotter(replica, options.snapshots, self._disk.run)
        self._callbacks: list[LeadershipCallback] = []
        self._announced: tuple[bool, int] = (False, 0)
        self._known_leader = 0
        self._leader_lost_at = -1.0
        self._roster_version = -1
        self._failure = ""
        self._end: StoppedError | None = None
        """Why this member cannot go on, once something has shown it."""
        self._strangers: dict[int, Member] = {}
        self._published_at = float("-inf")

    # Running

    async def run(self) -> None:
        self._roster_changed()
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._tick_for_ever(group), name="raft-ticks")
                group.create_task(self._work_for_ever(), name="raft-work")
        except* StoppedError as stopped:
            self._failure = self._failure or "the write-ahead log failed"
            raise stopped.exceptions[0] from None
        finally:
            self._failure = self._failure or "server stopped"
            self._proposals.fail(lambda: unavailable(self._failure))
            self._reads.fail(lambda: unavailable(self._failure))
            self._disk.close()

    async def _tick_for_ever(self, group: asyncio.TaskGroup) -> None:
        while True:
            await self._clock.sleep(self._options.tick_seconds)
            self._raw.tick()
            now = self._clock.monotonic()
            self._proposals.expire(now, self._timeout)
            self._reads.tick(now, self._timeout)
            self._publish(now)
            if self._snapshotter.is_due():
                group.create_task(self._snapshotter.write(), name="snapshot")
            self._dispatch()
            if self._raw.has_ready() or self._proposals.has_unsubmitted:
                self._wake.set()

    async def _work_for_ever(self) -> None:
        while True:
            if self._end is not None:
                raise self._end
            self._proposals.submit()
            ready = self._replica.begin()
            if ready is None:
                self._campaign_when_alone()
                if not self._raw.has_ready():
                    self._wake.clear()
                    await self._wake.wait()
                continue
            await self._work(ready)

    def _campaign_when_alone(self) -> None:
        """Nobody else can be leader, so there is nothing to wait for."""
        if self._is_alone() and self._replica.role is Role.FOLLOWER:
            self._raw.campaign()

    def _is_alone(self) -> bool:
        return self._raw.raft.configuration.voters == {self._replica.member_id}

    async def _work(self, ready: Ready) -> None:
        replica = self._replica
        self._send(ready.messages)
        if not ready.must_sync:
            self._apply(ready)
        elif not replica.applies_first(ready):
            meta = ready.snapshot
            if meta is not None:
                # A large state takes seconds to read: a member that fell silent so long would cost its leader the lead.
                await self._disk.run(lambda: replica.prepare(meta))
            await self._persisted(ready)
            self._apply(ready)
        elif self._disk.is_waited_for:
            self._apply(ready)
            await self._persisted(ready)
        else:
            writing = self._disk.begin(ready)
            self._apply(ready)
            await self._disk.written(writing)
        self._send(ready.messages_after_persist)
        replica.finish(ready)
        now = self._clock.monotonic()
        for state in ready.read_states:
            self._reads.confirmed(state.index, state.context, now)
        self._dispatch()
        self._after_change()
        if not ready.must_sync:
            await asyncio.sleep(0)  # Replaying a long log must not shut out everybody else.

    def _send(self, messages: Sequence[Message]) -> None:
        if messages:
            self._transport.send(messages)
            self._is_something_unsent = True

    async def _persisted(self, ready: Ready) -> None:
        disk = self._disk
        if disk.is_waited_for and self._is_something_unsent:
            self._is_something_unsent = False
            # Messages and answers take two turns of the loop until they are on the wire: others work meanwhile.
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        if disk.is_waited_for:
            disk.persist_now(ready)
        else:
            await disk.written(disk.begin(ready))

    def _apply(self, ready: Ready) -> None:
        if ready.committed or ready.snapshot is not None:
            start = self._clock.monotonic()
            answers = self._replica.apply(ready)
            self._metrics.applied(self._clock.monotonic() - start)
            self._proposals.answer(answers)
            self._reads.applied(self._replica.applied_index)
            self._is_something_unsent = True

    def _dispatch(self) -> None:
        """Send what may go although a Ready is being worked on, and pass on confirmed reads."""
        self._send(self._raw.take_messages())
        now = self._clock.monotonic()
        for state in self._raw.take_read_states():
            self._reads.confirmed(state.index, state.context, now)
            self._is_something_unsent = True
        self._reads.applied(self._replica.applied_index)

    def _after_change(self) -> None:
        leader = self._raw.raft.leader
        if leader != self._known_leader:
            if self._known_leader:
                self._leader_lost_at = self._clock.monotonic()
            if leader:
                self._metrics.leader_changed()
                log.info("member %x leads in term %d", leader, self._raw.raft.term)
            self._known_leader = leader
        if self._replica.roster_version != self._roster_version:
            self._roster_changed()
        leads = self._replica.leads_with_all_applied
        if leads != self._announced[0] or (leads and self._announced[1] != self.term):
            self._announced = (leads, self.term)
            for callback in self._callbacks:
                callback(leads, self.term)

    def _roster_changed(self) -> None:
        self._roster_version = self._replica.roster_version
        if self._replica.is_removed:
            raise self._removed()
        known = {member.id: member for member in self.members()}
        if self.member_id not in known:
            known = {**{member.id: member for member in self._options.seeds}, **known}
        self._strangers = {id: met for id, met in self._strangers.items() if id not in known}
        known.update(self._strangers)
        self._transport.set_peers([member for member in known.values() if member.id != self.member_id])

    def _removed(self) -> StoppedError:
        self._failure = "the member has been permanently removed from the cluster"
        return StoppedError("this member has been removed from the cluster; its data directory is of no more use")

    # Proposals

    def begin(self, data: bytes, waiter: Waiter) -> None:
        self._check_proposal(data)
        self._proposals.begin(data, waiter)

    async def propose(self, data: bytes) -> object:
        self._check_proposal(data)
        return await self._proposals.propose(data)

    def _check_proposal(self, data: bytes) -> None:
        self._check_running()
        if len(data) > self._options.max_request_bytes:
            raise Refusal(StatusCode.INVALID_ARGUMENT, "etcdserver: request is too large")

    def _check_running(self) -> None:
        if self._failure:
            raise unavailable(self._failure)

    def _timeout(self, since: float | None = None) -> Refusal:
        if since is not None and self._leader_lost_at >= since:
            return unavailable("request timed out, possibly due to previous leader failure")
        return unavailable("request timed out")

    # Reads

    async def read_index(self) -> None:
        self._check_running()
        now = self._clock.monotonic()
        waiter = self._reads.join(now, now + self._options.request_seconds)
        self._dispatch()
        try:
            await waiter
        except Refusal:
            self._metrics.read_failed()
            raise

    # From the transport

    def deliver(self, messages: Iterable[Message]) -> None:
        if self._failure:
            return
        try:
            for message in messages:
                if message.kind is Kind.PROPOSE and self.is_leader:
                    self._take_proposals(message)
                else:
                    self._raw.step(message)
        except LostEntriesError as problem:
            self._lost_entries(problem)
        if self._disk.is_busy:
            self._dispatch()  # Otherwise the work that begins in a moment sends it along with more.
        if self._proposals.has_forwarded or self._raw.has_ready():
            self._wake.set()

    def _lost_entries(self, problem: LostEntriesError) -> None:
        self._failure = "the member has lost a part of its log"
        self._end = StoppedError(
            f"this member has lost a part of what it promised to keep: {problem}; the disk lost it, or an old copy of "
            "the data directory was put back. Remove the member with `etcdctl member remove` and add it anew with an "
            "empty data directory"
        )
        self._end.__cause__ = problem
        self._wake.set()

    def _take_proposals(self, message: Message) -> None:
        """What other members forward waits with our own and shares its append."""
        if all(entry.kind is EntryKind.NORMAL for entry in message.entries):
            self._proposals.forward([entry.data for entry in message.entries])
        else:
            self._raw.step(message)

    def peer_unreachable(self, member: int) -> None:
        self._raw.report_unreachable(member)

    def snapshot_sent(self, member: int, arrived: bool) -> None:
        self._raw.report_snapshot(member, arrived)
        self._wake.set()

    def wants_snapshot(self, message: Message) -> bool:
        """Whether the file of this SNAPSHOT message is worth receiving."""
        assert message.snapshot is not None
        return message.term >= self.term and message.snapshot.index > self._raw.log.committed

    def meet(self, member: int, urls: Sequence[str]) -> None:
        """A member that joined while this one was away has to be answered, or the log would never tell of it."""
        is_known = member in self._strangers or self._replica.roster.get(member) is not None
        if not is_known and urls and not self.is_removed_member(member):
            self._strangers[member] = Member(member, "", tuple(urls), ())
            self._roster_changed()

    def removed_elsewhere(self) -> None:
        """A peer says that this member was removed; it may never see the entry that did it."""
        self._end = self._removed()
        self._wake.set()

    # Membership

    async def add_member(self, peer_urls: Sequence[str], is_learner: bool = False) -> Member:
        self._check_running()
        changes.check_add(self.members(), is_learner)
        new = member_id(peer_urls, str(self.cluster_id), str(self._clock.now()))
        kind = ChangeKind.ADD_LEARNER if is_learner else ChangeKind.ADD_VOTER
        await self._proposals.change(kind, new, tuple(peer_urls))
        return self._replica.roster.get(new) or Member(new, "", tuple(peer_urls), (), is_learner)

    async def remove_member(self, member_id: int) -> None:
        self._check_running()
        changes.check_remove(self.members(), member_id)
        await self._proposals.change(ChangeKind.REMOVE, member_id)

    async def promote_member(self, member_id: int) -> None:
        self._check_running()
        if self.leader_id not in (0, self.member_id):
            await self._transport.promote(self.leader_id, member_id)
            return
        changes.check_promote(self._replica, member_id)
        await self._proposals.change(ChangeKind.ADD_VOTER, member_id)

    async def update_member(self, member_id: int, peer_urls: Sequence[str]) -> None:
        self._check_running()
        await self._proposals.change(ChangeKind.UPDATE, member_id, tuple(peer_urls), EntryKind.ATTRIBUTES)

    def _publish(self, now: float) -> None:
        """Tell the cluster our name and client addresses, once, and again when they change."""
        options, mine = self._options, self._replica.roster.get(self.member_id)
        if mine is None or not self.leader_id or now - self._published_at < options.request_seconds:
            return
        if (mine.name, mine.client_urls) == (options.name, options.client_urls) or not options.name:
            return
        self._published_at = now
        words = encode_words(MemberWords(0, 0, options.name, (), options.client_urls))
        self._raw.propose_change(Change(ChangeKind.UPDATE, self.member_id, words), EntryKind.ATTRIBUTES)

    async def transfer_leader(self, to: int) -> None:
        if not self.is_leader:
            raise precondition("not leader")
        if to == self.member_id:
            return
        if to not in self._raw.raft.configuration.voters:
            raise precondition("bad leader transferee")
        self._raw.transfer_leader(to)
        self._dispatch()
        deadline = self._clock.monotonic() + self._options.request_seconds
        while self.leader_id != to:
            if self._clock.monotonic() >= deadline:
                raise unavailable("request timed out, leader transfer took too long")
            await self._clock.sleep(self._options.tick_seconds / 2)

    async def hand_over(self) -> None:
        """Before a planned stop: let somebody else lead, so that clients notice no election."""
        raft = self._raw.raft
        others = {
            m: p.match for m, p in raft.progress.items() if m != self.member_id and m in raft.configuration.voters
        }
        if self.is_leader and others and not self._failure:
            try:
                await asyncio.wait_for(self.transfer_leader(max(others, key=others.__getitem__)), 1.0)
            except (Refusal, TimeoutError):
                log.info("no other member took over the lead; the cluster elects one")

    # What is known

    @property
    def cluster_id(self) -> int:
        return self._replica.cluster_id

    @property
    def member_id(self) -> int:
        return self._replica.member_id

    @property
    def leader_id(self) -> int:
        return self._raw.raft.leader

    @property
    def term(self) -> int:
        return self._raw.raft.term

    @property
    def is_leader(self) -> bool:
        return self._replica.role is Role.LEADER

    @property
    def is_learner(self) -> bool:
        configuration = self._raw.raft.configuration
        # Who joins does not know yet what it joins as; until it does, it serves no more than a learner would.
        joins = bool(self._options.seeds) and self.member_id not in configuration.voters
        return joins or self.member_id in configuration.learners

    @property
    def raft_index(self) -> int:
        return self._raw.log.committed

    @property
    def applied_index(self) -> int:
        return self._replica.applied_index

    @property
    def is_removed(self) -> bool:
        return self._replica.is_removed

    def is_removed_member(self, member: int) -> bool:
        return member in self._replica.roster.removed

    def members(self) -> list[Member]:
        return self._replica.roster.members()

    @property
    def peer_urls(self) -> Sequence[str]:
        mine = self._replica.roster.get(self.member_id)
        return mine.peer_urls if mine is not None else ()

    def status(self) -> NodeStatus:
        return NodeStatus(
            cluster_id=self.cluster_id,
            member_id=self.member_id,
            leader_id=self.leader_id,
            term=self.term,
            committed_index=self.raft_index,
            applied_index=self.applied_index,
            is_learner=self.is_learner,
            has_failed=bool(self._failure),
            pending_proposals=len(self._proposals),
            snapshot_index=self._replica.snapshot_index,
        )

    def on_leadership(self, callback: LeadershipCallback) -> None:
        self._callbacks.append(callback)
