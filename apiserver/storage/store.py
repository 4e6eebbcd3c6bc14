"""Writes to the store: each changes one key, if nobody changed it in between."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from component_base.clock import Clock
from kubeclient.etcd3 import EtcdClient, KeyValue, RangeResult, delete_op, mod_revision_is, put_op, range_op

#: A lease is shared by objects that expire at about the same time, so that not each of them costs the store one.
LEASE_SHARE_SECONDS = 60
LEASE_SHARE_OBJECTS = 1000


@dataclass(frozen=True, slots=True)
class Outcome:
    """`revision` of the write if it took place; else what the key holds now (None: nothing)."""

    revision: int
    current: KeyValue | None = None

    @property
    def done(self) -> bool:
        return self.revision > 0


class Leases:
    def __init__(self, client: EtcdClient, clock: Clock) -> None:
        self._client = client
        self._clock = clock
        self._current: dict[int, tuple[int, float, int]] = {}

    async def get(self, ttl: int) -> int:
        """A lease that lives for at least `ttl` seconds."""
        now = self._clock.monotonic()
        lease, until, used = self._current.get(ttl, (0, 0.0, 0))
        if not lease or now >= until or used >= LEASE_SHARE_OBJECTS:
            share = min(LEASE_SHARE_SECONDS, max(1, ttl // 10))
            lease, until, used = (await self._client.lease_grant(ttl + share)).id, now + share, 0
        self._current[ttl] = (lease, until, used + 1)
        return lease


class ObjectStore:
    def __init__(self, client: EtcdClient, clock: Clock) -> None:
        self._client = client
        self._leases = Leases(client, clock)

    async def latest(self, key: str) -> KeyValue | None:
        return await self._client.get(key.encode())

    async def create(self, key: str, value: bytes, ttl: int = 0) -> Outcome:
        return await self._swap(key.encode(), value, 0, ttl)

    async def replace(self, key: str, value: bytes, expected: int, ttl: int = 0, lease: int = 0) -> Outcome:
        """A new TTL counts from now; with `lease` the object keeps the one it has."""
        return await self._swap(key.encode(), value, expected, ttl, lease)

    async def _swap(self, key: bytes, value: bytes, expected: int, ttl: int, lease: int = 0) -> Outcome:
        lease = await self._leases.get(ttl) if ttl else lease
        result = await self._client.txn(
            [mod_revision_is(key, expected)], [put_op(key, value, lease=lease)], [range_op(key)]
        )
        return _outcome(result.succeeded, result.revision, result.responses)

    async def remove(self, key: str, expected: int) -> Outcome:
        name = key.encode()
        result = await self._client.txn([mod_revision_is(name, expected)], [delete_op(name)], [range_op(name)])
        return _outcome(result.succeeded, result.revision, result.responses)


def _outcome(succeeded: bool, revision: int, responses: Sequence[object]) -> Outcome:
    if succeeded:
        return Outcome(revision)
    found = responses[0]
    assert isinstance(found, RangeResult)
    return Outcome(0, found.kvs[0] if found.kvs else None)
