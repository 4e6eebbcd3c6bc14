"""The Watch service: many watches on one stream, each told of its range's changes in order.

A stream keeps what it still has to send by watch, so changes that arrive while it is writing are joined into one
response. What it keeps is bounded: beyond the bound its watches fall behind and read on from the history.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterator

from component_base.clock import Clock
from component_base.rpc import CallContext
from component_base.tasks import spawn
from etcd_raft.auth.accounts import READ
from etcd_raft.mvcc.keyspace import range_bounds
from etcd_raft.mvcc.watching import Watcher, all_current
from etcd_raft.mvcc.wire import number
from etcd_raft.ports import Refusal, precondition, unavailable
from etcd_raft.server.access import MESSAGE_OVERHEAD, Access, rpc_error
from skiff_pb.etcd import rpc_pb2

_INVALID_ID = -1
_CODES = {3: "InvalidArgument", 7: "PermissionDenied", 16: "Unauthenticated"}
#: Bytes that may wait for one stream; beyond them its watches fall behind.
_PENDING_BYTES = 8 * 1024 * 1024
#: One step of reading the history for a watch that is behind: about a millisecond.
_CATCH_UP_REVISIONS = 2000
_CATCH_UP_BYTES = 1024 * 1024
_NO_LEADER_SECONDS = 3.0


class WatchService:
    def __init__(self, access: Access, clock: Clock) -> None:
        self.access = access
        self._clock = clock

    async def watch(
        self, requests: AsyncIterator[rpc_pb2.WatchRequest], context: CallContext
    ) -> AsyncIterator[bytes | rpc_pb2.WatchResponse]:
        if self.access.node.is_learner:
            raise rpc_error(precondition("rpc not supported for learner"))
        stream = _Stream(self.access, context)
        tasks = [
            spawn(stream.receive(requests), "watch requests"),
            spawn(self._notice_progress(stream), "watch progress"),
        ]
        if context.metadata.get("hasleader") == "true":
            tasks.append(spawn(self._require_leader(stream), "watch leader"))
        try:
            async for response in stream.responses():
                yield response
        except Refusal as refusal:
            raise rpc_error(refusal) from None
        finally:
            for task in tasks:
                task.cancel()
            stream.close()

    async def _notice_progress(self, stream: _Stream) -> None:
        while True:
            await self._clock.sleep(self.access.limits.watch_progress_seconds)
            stream.notice_quiet_watches()

    async def _require_leader(self, stream: _Stream) -> None:
        """Ends a stream that must not go silently stale, once its member has had no leader for a while."""
        without = 0.0
        while without < _NO_LEADER_SECONDS:
            await self._clock.sleep(1.0)
            without = 0.0 if self.access.node.leader_id else without + 1.0
        stream.fail(unavailable("no leader"))


class _Pending:
    """What waits for one watch: encoded events, and the revision they reach."""

    __slots__ = ("parts", "revision")

    def __init__(self) -> None:
        self.parts: list[bytes] = []
        self.revision = 0


class _Stream:
    """A `Sink`: the store offers, `responses` sends."""

    def __init__(self, access: Access, context: CallContext) -> None:
        self._access = access
        self._context = context
        self._watchers: dict[int, Watcher] = {}
        self._fragments: set[int] = set()
        self._progress: dict[int, bool] = {}
        self._next_id = 0
        self._control: deque[rpc_pb2.WatchResponse] = deque()
        self._pending: dict[Watcher, _Pending] = {}
        self._pending_bytes = 0
        self._behind: dict[Watcher, None] = {}
        self._owes_progress = False
        self._wake = asyncio.Event()
        self._failure: Refusal | None = None

    # The store's side

    def offer(self, watcher: Watcher, events: bytes, revision: int) -> bool:
        self._wake.set()
        if self._pending_bytes + len(events) > _PENDING_BYTES and self._pending_bytes:
            return False
        self._keep(watcher, events, revision)
        return True

    def fall_behind(self, watcher: Watcher) -> None:
        self._behind[watcher] = None
        self._wake.set()

    def _keep(self, watcher: Watcher, events: bytes, revision: int) -> None:
        pending = self._pending.get(watcher)
        if pending is None:
            pending = self._pending[watcher] = _Pending()
        pending.parts.append(events)
        pending.revision = revision
        self._pending_bytes += len(events)

    # The client's side

    async def receive(self, requests: AsyncIterator[rpc_pb2.WatchRequest]) -> None:
        async for request in requests:
            kind = request.WhichOneof("request_union")
            if kind == "create_request":
                self._create(request.create_request)
            elif kind == "cancel_request":
                self._cancel(request.cancel_request.watch_id)
            elif kind == "progress_request":
                self._owes_progress = True
            self._wake.set()

    def _create(self, request: rpc_pb2.WatchCreateRequest) -> None:
        start, end = request.key or b"\0", range_bounds(request.range_end)
        watch_id = request.watch_id
        if request.start_revision < 0:
            self._refuse_create("etcdserver: mvcc: required revision has been compacted")
            return
        if end and start >= end:
            self._refuse_create("mvcc: watcher range is empty")
            return
        if watch_id and watch_id in self._watchers:
            self._refuse_create("mvcc: duplicate watch ID provided on the WatchStream")
            return
        store = self._access.store
        if store.accounts.is_enabled:
            try:
                store.accounts.check(self._access.caller(self._context), start, request.range_end, READ)
            except Refusal as refusal:
                # Clients look for gRPC's way of writing an error here.
                self._refuse_create(f"rpc error: code = {_CODES[refusal.code]} desc = {refusal.message}")
                return
        if not watch_id:
            while self._next_id in self._watchers:
                self._next_id += 1
            watch_id = self._next_id
            self._next_id += 1
        filters = rpc_pb2.WatchCreateRequest
        watcher = self._watchers[watch_id] = Watcher(
            self,
            watch_id,
            start,
            end,
            request.start_revision or store.space.revision + 1,
            request.prev_kv,
            filters.NOPUT in request.filters,
            filters.NODELETE in request.filters,
        )
        if request.progress_notify:
            self._progress[watch_id] = True
        if request.fragment:
            self._fragments.add(watch_id)
        self._answer(watch_id, created=True)
        store.watches.add(watcher)
        if not watcher.current:
            self._behind[watcher] = None

    def _refuse_create(self, reason: str) -> None:
        self._answer(_INVALID_ID, created=True, canceled=True, cancel_reason=reason)

    def _cancel(self, watch_id: int) -> None:
        if watch_id in self._watchers:
            self._forget(self._watchers[watch_id])
            self._answer(watch_id, canceled=True)

    def _forget(self, watcher: Watcher) -> None:
        self._access.store.watches.remove(watcher)
        del self._watchers[watcher.watch_id]
        self._fragments.discard(watcher.watch_id)
        self._progress.pop(watcher.watch_id, None)
        self._behind.pop(watcher, None)
        pending = self._pending.pop(watcher, None)
        if pending is not None:
            self._pending_bytes -= sum(map(len, pending.parts))

    def _answer(
        self,
        watch_id: int,
        created: bool = False,
        canceled: bool = False,
        cancel_reason: str = "",
        compact_revision: int = 0,
    ) -> None:
        self._control.append(
            rpc_pb2.WatchResponse(
                header=self._access.header_message(),
                watch_id=watch_id,
                created=created,
                canceled=canceled,
                cancel_reason=cancel_reason,
                compact_revision=compact_revision,
            )
        )

    def notice_quiet_watches(self) -> None:
        """A notice for each watch that wants them and has had no events since the last time."""
        for watch_id, is_quiet in self._progress.items():
            watcher = self._watchers[watch_id]
            revision = self._access.store.space.revision
            if is_quiet and watcher not in self._pending and all_current((watcher,), revision):
                self._answer(watch_id)
                self._wake.set()
            self._progress[watch_id] = True

    def fail(self, failure: Refusal) -> None:
        self._failure = failure
        self._wake.set()

    def close(self) -> None:
        for watcher in list(self._watchers.values()):
            self._forget(watcher)

    # Sending

    async def responses(self) -> AsyncIterator[bytes | rpc_pb2.WatchResponse]:
        while self._failure is None:
            self._wake.clear()
            while self._control:
                yield self._control.popleft()
            if self._pending:
                watcher = next(iter(self._pending))
                pending = self._pending.pop(watcher)
                for response in self._encode(watcher, pending):
                    yield response
            elif self._behind:
                self._catch_up(next(iter(self._behind)))
                await asyncio.sleep(0)
            elif not self._send_owed_progress():
                await self._wake.wait()
        raise self._failure

    def _send_owed_progress(self) -> bool:
        """A notice that was asked for speaks for all watches at once, so none of them may be behind."""
        if not self._owes_progress:
            return False
        self._owes_progress = False
        if all_current(self._watchers.values(), self._access.store.space.revision):
            self._answer(_INVALID_ID)
        return True

    def _catch_up(self, watcher: Watcher) -> None:
        table = self._access.store.watches
        del self._behind[watcher]
        if table.is_compacted(watcher):
            compacted = self._access.store.space.compacted
            self._forget(watcher)
            self._answer(watcher.watch_id, canceled=True, compact_revision=compacted)
            return
        batch = table.catch_up(watcher, _CATCH_UP_REVISIONS, _CATCH_UP_BYTES)
        if batch is not None:
            events = batch.events(watcher.prev_kv, watcher.no_put, watcher.no_delete)
            if events:
                self._keep(watcher, events, batch.last)
        if not watcher.current:
            self._behind[watcher] = None

    def _encode(self, watcher: Watcher, pending: _Pending) -> Iterator[bytes]:
        watch_id = watcher.watch_id
        if watch_id in self._progress:
            self._progress[watch_id] = False
        events = pending.parts[0] if len(pending.parts) == 1 else b"".join(pending.parts)
        self._pending_bytes -= len(events)
        head = self._access.header(pending.revision) + number(b"\x10", watch_id)
        limit = self._access.limits.max_request_bytes + MESSAGE_OVERHEAD
        if len(events) < limit or watch_id not in self._fragments:
            yield head + events
            return
        cut = 0
        while cut < len(events):
            begin, cut = cut, _cut(events, cut, limit)
            yield head + (b"\x38\x01" if cut < len(events) else b"") + events[begin:cut]


def _cut(events: bytes, begin: int, limit: int) -> int:
    """Where to end a fragment that starts at `begin`: before the event that does not fit, but after one at least."""
    end = begin
    while end < len(events):
        position, shift, size = end + 1, 0, 0
        while True:
            byte = events[position]
            size |= (byte & 127) << shift
            position, shift = position + 1, shift + 7
            if byte < 128:
                break
        if position + size - begin > limit and end > begin:
            break
        end = position + size
    return end
