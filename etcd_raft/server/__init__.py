"""etcd's gRPC services on top of a `Node` and a `StoreMachine`: one file for each service."""

from __future__ import annotations

import asyncio
import functools
from typing import Final

from component_base.clock import Clock
from component_base.rng import Rng
from component_base.rpc import Service
from component_base.tasks import spawn
from etcd_raft.auth.credentials import Tokens, TokenSource
from etcd_raft.corruption import hashed
from etcd_raft.lease.expiry import LeaseClock
from etcd_raft.machine import StoreMachine
from etcd_raft.ports import Node
from etcd_raft.questions import PeerQuestions
from etcd_raft.server.access import Access, Limits
from etcd_raft.server.auth import AuthService
from etcd_raft.server.cluster import ClusterService
from etcd_raft.server.contest import Contest
from etcd_raft.server.election import ElectionService
from etcd_raft.server.health import HealthService
from etcd_raft.server.kv import KvService
from etcd_raft.server.lease import LeaseService, Lessor
from etcd_raft.server.lock import LockService
from etcd_raft.server.maintenance import MaintenanceService
from etcd_raft.server.watch import WatchService
from skiff_pb.etcd import election_pb2, health_pb2, lock_pb2, rpc_pb2

__all__ = ["Limits", "services"]

_IDLE_SECONDS: Final = 1.0


def services(
    node: Node,
    store: StoreMachine,
    clock: Clock,
    rng: Rng,
    limits: Limits | None = None,
    peers: PeerQuestions | None = None,
    tokens: TokenSource | None = None,
) -> list[Service]:
    """Everything a member serves to clients. Call it within the running loop, before the node takes part in elections:
    it also starts the work that goes on in the background (ending leases, dropping compacted history).
    Without `tokens`, simple ones are given out."""
    access = Access(node, store, limits or Limits(), tokens or Tokens(store.accounts, clock, rng))
    leases = LeaseClock(store.leases, clock)
    Lessor(access, leases, clock)
    if peers is not None:
        peers.hash_answer = functools.partial(hashed, store)
        peers.lease_answer = leases.left
    spawn(_prune(store, clock), "dropping compacted history")
    handlers: dict[str, object] = {
        "KV": KvService(access),
        "Watch": WatchService(access, clock),
        "Lease": LeaseService(access, leases, rng, peers),
        "Maintenance": MaintenanceService(access),
        "Cluster": ClusterService(access),
        "Auth": AuthService(access, rng),
    }
    found = rpc_pb2.DESCRIPTOR.services_by_name
    hosted = [Service(found[name], handler) for name, handler in handlers.items()]
    contest = Contest(access, rng)
    hosted += [
        Service(lock_pb2.DESCRIPTOR.services_by_name["Lock"], LockService(access, contest)),
        Service(election_pb2.DESCRIPTOR.services_by_name["Election"], ElectionService(access, contest)),
    ]
    health = HealthService(access, clock, frozenset(str(service.descriptor.full_name) for service in hosted))
    return [*hosted, Service(health_pb2.DESCRIPTOR.services_by_name["Health"], health)]


async def _prune(store: StoreMachine, clock: Clock) -> None:
    """What `apply` leaves over when no entries come any more."""
    while True:
        await clock.sleep(_IDLE_SECONDS)
        while store.space.must_prune:
            store.space.prune(500)
            await asyncio.sleep(0)
