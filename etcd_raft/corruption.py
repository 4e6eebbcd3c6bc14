"""Members compare what they hold: when one starts, and now and then while the cluster runs.

Whoever differs from the leader is named in a CORRUPT alarm; the cluster then refuses reads and writes until somebody
has replaced that member and disarmed the alarm, for nobody can tell which answers were wrong.
"""

from __future__ import annotations

import asyncio
import logging

from component_base.clock import Clock
from component_base.rpc import RpcError
from etcd_raft import requests
from etcd_raft.machine import CORRUPT, StoreMachine
from etcd_raft.mvcc import refusals
from etcd_raft.mvcc.hashing import hash_steps
from etcd_raft.ports import Member, Node, Refusal
from etcd_raft.questions import PeerQuestions
from skiff_pb.raft import peer_pb2

log = logging.getLogger(__name__)


async def hashed(store: StoreMachine, revision: int = 0) -> peer_pb2.HashReply:
    """Of `revision`, by default the newest. Raises Refusal."""
    space = store.space
    revision = revision or space.revision
    if revision > space.revision:
        raise refusals.future_revision()
    if revision < space.compacted:
        raise refusals.compacted()
    compacted, crc = space.compacted, 0
    steps = hash_steps(space, revision)
    space.pin()
    try:
        while (step := next(steps, None)) is not None:
            crc = step
            await asyncio.sleep(0)
    finally:
        space.unpin()
    return peer_pb2.HashReply(hash=crc, revision=revision, compact_revision=compacted)


class CorruptionWatch:
    """`seconds` between comparisons by the leader; 0 turns them off."""

    def __init__(self, node: Node, store: StoreMachine, peers: PeerQuestions, clock: Clock, seconds: float) -> None:
        self._node = node
        self._store = store
        self._peers = peers
        self._clock = clock
        self._seconds = seconds

    async def differing(self) -> list[Member]:
        """The members that hold something else at this member's newest revision."""
        own = await hashed(self._store)
        found = []
        for member in self._node.members():
            if member.id == self._node.member_id or not member.name:
                continue
            try:
                theirs = await self._peers.hash_of(member, own.revision)
            except (RpcError, OSError) as problem:
                log.warning("cannot compare with member %x: %s", member.id, problem)
                continue
            # Compacted differently they would differ anyway; the next comparison will tell.
            if theirs.compact_revision == own.compact_revision and theirs.hash != own.hash:
                found.append(member)
        return found

    async def run(self) -> None:
        if not self._seconds:
            return
        while True:
            await self._clock.sleep(self._seconds)
            if not self._node.is_leader:
                continue
            try:
                await self._node.read_index()
                for member in await self.differing():
                    log.error("member %x holds other data than this one, the leader: raising the alarm", member.id)
                    await self._node.propose(requests.own(requests.Alarm(member.id, CORRUPT, True)))
            except Refusal as refusal:
                log.warning("members were not compared: %s", refusal.message)
