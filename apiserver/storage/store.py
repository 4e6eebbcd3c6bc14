"""Writes to the store: each changes one key, if nobody changed it in between."""

from __future__ import annotations

from component_base.clock import Clock
from kubeclient.etcd3 import EtcdClient, KeyValue, Swap

#: A lease is shared by objects that expire at about the same time, so that not each of them costs the store one.
LEASE_SHARE_SECONDS = 60
LEASE_SHARE_OBJECTS = 1000


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

    async def create(self, key: str, value: bytes, ttl: int = 0) -> Swap:
        return await self._swap(key.encode(), value, 0, ttl)

    async def replace(self, key: str, value: bytes, expected: int, ttl: int = 0, lease: int = 0) -> Swap:
        """A new TTL counts from now; with `lease` the object keeps the one it has."""
        return await self._swap(key.encode(), value, expected, ttl, lease)

    async def _swap(self, key: bytes, value: bytes, expected: int, ttl: int, lease: int = 0) -> Swap:
        lease = await self._leases.get(ttl) if ttl else lease
        return await self._client.swap(key, value, expected, lease)

    async def remove(self, key: str, expected: int) -> Swap:
        return await self._client.swap(key.encode(), None, expected)
