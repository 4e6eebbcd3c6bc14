"""A load whose clients write down what they see, and the verdict on it by the checkers of `tests/history`.

Puts, reads, transactions, deletes and leases on a few keys that all clients share, and watches that go on at another
member when their stream breaks. Whatever went wrong leaves the outcome of an operation unknown.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from typing import Any

from component_base.clock import SystemClock
from component_base.rng import Rng
from component_base.rpc import RpcError
from skiff_pb.etcd import kv_pb2, rpc_pb2
from tests.history import serializable, watching
from tests.history.operations import Change, Chronicle, Operation, WatchRecord
from tests.integration.etcd_raft.processes import KV, MemberProcess

WATCH = rpc_pb2.DESCRIPTOR.services_by_name["Watch"]
LEASE = rpc_pb2.DESCRIPTOR.services_by_name["Lease"]
KEYS = [b"load/%d" % n for n in range(12)]
END = b"load0"
Put, Range, Delete, Op, Compare = (
    rpc_pb2.PutRequest,
    rpc_pb2.RangeRequest,
    rpc_pb2.DeleteRangeRequest,
    rpc_pb2.RequestOp,
    rpc_pb2.Compare,
)
now = SystemClock().monotonic


class Load:
    """`async with`: the clients work meanwhile. `members` may grow and shrink; `judge` needs one that runs."""

    def __init__(
        self, members: Sequence[MemberProcess], rng: Rng, writers: int = 5, watchers: int = 2, pause: float = 0.02
    ) -> None:
        self.members = list(members)
        self.rng = rng
        self.operations: list[Operation] = []
        self.watches: list[WatchRecord] = []
        self.written_at: list[tuple[float, float]] = []
        """Call and answer of each acknowledged write."""
        self.given_up = 0
        """Operations that had no answer although they were retried."""
        self._pause = pause
        self._is_over = False
        self._work = [self._write(number) for number in range(writers)]
        self._work += [self._watch(number) for number in range(watchers)]
        self._work.append(self._hold_leases())
        self._tasks: list[asyncio.Task[None]] = []
        self._number = 0

    async def __aenter__(self) -> Load:
        self._tasks = [asyncio.ensure_future(work) for work in self._work]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._is_over = True
        await asyncio.gather(*self._tasks)

    @property
    def acknowledged(self) -> int:
        return len(self.written_at)

    async def answered_since(self, moment: float, limit: float) -> float:
        """Seconds from the moment until a write that was called after it had been answered."""
        async with asyncio.timeout(limit):
            while True:
                for start, end in reversed(self.written_at[-200:]):
                    if start > moment:
                        first = min(e for s, e in self.written_at[-200:] if s > moment)
                        return first - moment
                    if end < moment:
                        break
                await asyncio.sleep(0.02)

    # Clients

    async def _attempt(self, client: _Client, service: Any, rpc: str, request: Any) -> Operation:
        operation = Operation(client.name, request, now())
        self.operations.append(operation)
        try:
            operation.response = await client.channel.unary(service, rpc, request, timeout=3.0)
        except RpcError as problem:
            operation.error = problem.message
            await client.turn(self.members)
        else:
            operation.end = now()
            if rpc in ("Put", "Txn"):
                self.written_at.append((operation.start, operation.end))
        return operation

    async def _write(self, number: int) -> None:
        async with _Client(f"w{number}", self.members, number) as client:
            while not self._is_over:
                rpc, request = self._request(client)
                for _ in range(40):
                    if (await self._attempt(client, KV, rpc, request)).response is not None or self._is_over:
                        break
                    await asyncio.sleep(0.1)
                    rpc, request = rpc, self._fresh(request)
                else:
                    self.given_up += 1
                await asyncio.sleep(self._pause * self.rng.random())

    def _value(self) -> bytes:
        self._number += 1
        return b"v%07d" % self._number

    def _fresh(self, request: Any) -> Any:
        """The same wish under another value, so that two attempts can be told apart in the history."""
        again = type(request)()
        again.CopyFrom(request)
        if isinstance(again, Put):
            again.value = self._value()
        elif isinstance(again, rpc_pb2.TxnRequest):
            again.success[0].request_put.value = self._value()
        return again

    def _request(self, client: _Client) -> tuple[str, Any]:
        key, draw = self.rng.choice(KEYS), self.rng.random()
        if draw < 0.4:
            return "Put", Put(key=key, value=self._value(), prev_kv=True)
        if draw < 0.6:
            return "Range", Range(key=key)
        if draw < 0.7:
            return "Range", Range(key=KEYS[0][:5], range_end=END)
        if draw < 0.75:
            return "DeleteRange", Delete(key=key, prev_kv=True)
        compare = Compare(key=key, target=Compare.VERSION, result=Compare.GREATER, version=self.rng.randrange(3))
        success = [Op(request_put=Put(key=key, value=self._value())), Op(request_range=Range(key=KEYS[0]))]
        failure = [Op(request_range=Range(key=key))]
        return "Txn", rpc_pb2.TxnRequest(compare=[compare], success=success, failure=failure)

    async def _hold_leases(self) -> None:
        """Each holds a key for as long as it is kept alive; what is let go ends by itself."""
        async with _Client("lease", self.members, 0) as client:
            while not self._is_over:
                try:
                    granted = await client.channel.unary(LEASE, "LeaseGrant", rpc_pb2.LeaseGrantRequest(TTL=2), 3.0)
                except RpcError:
                    await client.turn(self.members)
                    await asyncio.sleep(0.1)
                    continue
                key = b"lease/%d" % self.rng.randrange(4)
                await self._attempt(client, KV, "Put", Put(key=key, value=self._value(), lease=granted.ID))
                if self.rng.random() < 0.5:
                    with contextlib.suppress(RpcError):
                        beat = rpc_pb2.LeaseKeepAliveRequest(ID=granted.ID)
                        await client.channel.unary(LEASE, "LeaseKeepAlive", _once(beat), 3.0)
                await asyncio.sleep(1.0)

    async def write_much(self, member: MemberProcess) -> None:
        """Large values to one member until cancelled: disks fill soon."""
        async with _Client("much", [member], 0) as client:
            while True:
                value = self._value() + bytes(900_000)
                await self._attempt(client, KV, "Put", Put(key=b"load/much", value=value))

    # Watches

    async def _watch(self, number: int) -> None:
        start = 0
        async with _Client(f"o{number}", self.members, number) as client:
            while not self._is_over:
                request = rpc_pb2.WatchCreateRequest(
                    key=b"l", range_end=b"m", start_revision=start, prev_kv=number % 2 == 0, progress_notify=True
                )
                record = WatchRecord(client.name, request, is_live=False)
                self.watches.append(record)
                with contextlib.suppress(RpcError):
                    await self._read(client, record)
                start = _next(record)
                await client.turn(self.members)
                await asyncio.sleep(0.1)

    async def _read(self, client: _Client, record: WatchRecord) -> None:
        over = asyncio.Event()

        async def requests() -> AsyncIterator[rpc_pb2.WatchRequest]:
            yield rpc_pb2.WatchRequest(create_request=record.request)
            while not self._is_over and not over.is_set():
                await asyncio.sleep(0.5)
                yield rpc_pb2.WatchRequest(progress_request=rpc_pb2.WatchProgressRequest())

        stream: AsyncGenerator[Any, None] = client.channel.stream(WATCH, "Watch", requests())
        async with contextlib.aclosing(stream) as responses:
            while not self._is_over:
                try:
                    response = await asyncio.wait_for(anext(responses), 3.0)
                except (TimeoutError, StopAsyncIteration):
                    return
                finally:
                    over.set() if self._is_over else None
                record.responses.append(response)
                if response.canceled:
                    return

    # The verdict

    async def judge(self, *members: MemberProcess) -> Chronicle:
        """Every member named tells the whole history; raises Violation if it is not what the clients saw."""
        chronicle = Chronicle()
        for member in members:
            for revision, changes in await history(member):
                chronicle.tell(member.name, revision, changes)
        serializable.check(self.operations, chronicle)
        watching.check(self.watches, chronicle)
        return chronicle


class _Client:
    """A name and a channel to one member; `turn` goes on to the next."""

    def __init__(self, name: str, members: Sequence[MemberProcess], number: int) -> None:
        self.name = name
        self._turn = number
        self.channel = members[number % len(members)].channel()

    async def __aenter__(self) -> _Client:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.channel.close()

    async def turn(self, members: Sequence[MemberProcess]) -> None:
        self._turn += 1
        await self.channel.close()
        self.channel = members[self._turn % len(members)].channel()


async def _once(request: Any) -> AsyncIterator[Any]:
    yield request


def _next(record: WatchRecord) -> int:
    """Where a watch goes on that broke."""
    needed = record.request.start_revision
    for response in record.responses:
        if response.created:
            needed = needed or response.header.revision + 1
        elif response.events:
            needed = max(needed, response.events[-1].kv.mod_revision + 1)
        elif not response.canceled:
            needed = max(needed, response.header.revision + 1)
    return needed


async def history(member: MemberProcess) -> list[tuple[int, list[Change]]]:
    """All revisions from the first on, by a watch of everything up to the present one."""
    channel = member.channel()
    try:
        present = await channel.unary(KV, "Range", Range(key=b"\0"), timeout=10.0)
        create = rpc_pb2.WatchCreateRequest(key=b"\0", range_end=b"\0", start_revision=2)

        async def requests() -> AsyncIterator[rpc_pb2.WatchRequest]:
            yield rpc_pb2.WatchRequest(create_request=create)
            await asyncio.sleep(60.0)

        found: dict[int, list[Change]] = {}
        async with asyncio.timeout(60), contextlib.aclosing(channel.stream(WATCH, "Watch", requests())) as responses:
            while max(found, default=1) < present.header.revision:
                for event in (await anext(responses)).events:
                    found.setdefault(event.kv.mod_revision, []).append(_change(event))
        return sorted(found.items())
    finally:
        await channel.close()


def _change(event: kv_pb2.Event) -> Change:
    if event.type == kv_pb2.Event.DELETE:
        return Change(event.kv.key, None)
    return Change(event.kv.key, event.kv.value, event.kv.lease)
