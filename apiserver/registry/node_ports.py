"""Node ports: one bitmap in the store, changed by compare-and-swap, in upstream's place and shape."""

from __future__ import annotations

import base64
from collections.abc import Iterable

import orjson

from apimachinery import errors
from apiserver.storage.store import ObjectStore
from component_base.rng import Rng
from kubeclient.etcd3 import KeyValue

KEY = "/registry/ranges/servicenodeports"
_TRIES = 100


class PortRefused(Exception):
    """Why the port cannot be had, in upstream's words."""


class NodePorts:
    def __init__(self, store: ObjectStore, ports: range, rng: Rng) -> None:
        self._store = store
        self._ports = ports
        self._rng = rng

    async def take(self, wanted: Iterable[int], count: int, dry_run: bool = False) -> list[int]:
        """The wanted ports and `count` others, all or none. Raises PortRefused."""
        asked = list(dict.fromkeys(wanted))
        for port in asked:
            if port not in self._ports:
                low, high = self._ports[0], self._ports[-1]
                raise PortRefused(f"provided port is not in the valid range. The range of valid ports is {low}-{high}")
        for _ in range(_TRIES):
            kv, bits = await self._read()
            for port in asked:
                if bits >> (port - self._ports[0]) & 1:
                    raise PortRefused("provided port is already allocated")
                bits |= 1 << (port - self._ports[0])
            chosen = self._choose(bits, count)
            for port in chosen:
                bits |= 1 << (port - self._ports[0])
            if dry_run or await self._write(kv, bits):
                return chosen
        raise errors.conflict("services", "", "nodeports", "the port allocator is too busy")

    def _choose(self, bits: int, count: int) -> list[int]:
        size = len(self._ports)
        band = min(max(16, size // 32), 128) if size >= 32 else 0
        free = [offset for offset in range(band, size) if not bits >> offset & 1]
        if len(free) < count:
            free += [offset for offset in range(band) if not bits >> offset & 1]
        if len(free) < count:
            raise PortRefused("range is full")
        chosen = []
        for _ in range(count):
            chosen.append(self._ports[0] + free.pop(self._rng.randrange(len(free))))
        return chosen

    async def give_back(self, ports: Iterable[int]) -> None:
        gone = [port for port in ports if port in self._ports]
        if not gone:
            return
        for _ in range(_TRIES):
            kv, bits = await self._read()
            for port in gone:
                bits &= ~(1 << (port - self._ports[0]))
            if await self._write(kv, bits):
                return

    async def repair(self, used: Iterable[int]) -> None:
        """Ports of existing Services are taken, whatever the bitmap said."""
        kv, before = await self._read()
        bits = 0
        for port in used:
            if port in self._ports:
                bits |= 1 << (port - self._ports[0])
        if bits != before or kv is None:
            await self._write(kv, bits)

    async def _read(self) -> tuple[KeyValue | None, int]:
        kv = await self._store.latest(KEY)
        if kv is None:
            return None, 0
        try:
            found = orjson.loads(kv.value)
            same = found.get("range") == f"{self._ports[0]}-{self._ports[-1]}"
            return kv, int.from_bytes(base64.b64decode(found.get("data") or "")) if same else 0
        except ValueError:  # protobuf of an upstream apiserver: read anew from the Services at start
            return kv, 0

    async def _write(self, kv: KeyValue | None, bits: int) -> bool:
        data = base64.b64encode(bits.to_bytes((bits.bit_length() + 7) // 8)).decode()
        value = {
            "kind": "RangeAllocation",
            "apiVersion": "v1",
            "metadata": {},
            "range": f"{self._ports[0]}-{self._ports[-1]}",
            "data": data,
        }
        return (await self._store.replace(KEY, orjson.dumps(value), kv.mod_revision if kv else 0)).done
