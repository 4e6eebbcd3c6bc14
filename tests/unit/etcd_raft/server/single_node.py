"""A cluster of one without a log: proposals are applied at once. It shows what the servicers do, nothing of Raft."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from etcd_raft.machine import StoreMachine
from etcd_raft.ports import AppliedEntry, LeadershipCallback, Member, NodeStatus, Waiter


class SingleNode:
    cluster_id = 0xC1
    member_id = 0xA1
    leader_id = member_id
    term = 2
    is_leader = True
    is_learner = False

    def __init__(self, store: StoreMachine) -> None:
        self.store = store
        self.reads = 0
        self.callbacks: list[LeadershipCallback] = []

    @property
    def raft_index(self) -> int:
        return self.store.applied_index

    @property
    def applied_index(self) -> int:
        return self.store.applied_index

    async def propose(self, data: bytes) -> object:
        return self.store.apply([AppliedEntry(self.store.applied_index + 1, self.term, data)])[0]

    def begin(self, data: bytes, waiter: Waiter) -> None:
        result = self.store.apply([AppliedEntry(self.store.applied_index + 1, self.term, data)])[0]
        asyncio.get_running_loop().call_soon(waiter.applied, result)

    async def read_index(self) -> None:
        self.reads += 1

    def members(self) -> list[Member]:
        return [Member(self.member_id, "one", ("http://127.0.0.1:2380",), ("http://127.0.0.1:2379",))]

    def status(self) -> NodeStatus:
        index = self.store.applied_index
        return NodeStatus(
            self.cluster_id, self.member_id, self.leader_id, self.term, index, index, self.is_learner, False, 0, 0
        )

    async def add_member(self, peer_urls: Sequence[str], is_learner: bool = False) -> Member:
        return Member(0xA2, "", tuple(peer_urls), (), is_learner)

    async def remove_member(self, member_id: int) -> None: ...

    async def promote_member(self, member_id: int) -> None: ...

    async def update_member(self, member_id: int, peer_urls: Sequence[str]) -> None: ...

    async def transfer_leader(self, to: int) -> None: ...

    def on_leadership(self, callback: LeadershipCallback) -> None:
        self.callbacks.append(callback)

    def lead(self) -> None:
        self.is_leader = True
        for callback in self.callbacks:
            callback(True, self.term)

    def follow(self) -> None:
        self.is_leader = False
        for callback in self.callbacks:
            callback(False, self.term)


class Caller:
    """An rpc.CallContext without anything special."""

    def __init__(self, **metadata: str) -> None:
        self.metadata: Mapping[str, str] = metadata
        self.peer = "test"
        self.peer_certificate: bytes | None = None

    def time_remaining(self) -> float | None:
        return None

    def cancelled(self) -> bool:
        return False
