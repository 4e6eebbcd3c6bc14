"""All watches of a client on one stream, which is made again when it breaks.

Each watch remembers the revision it needs next. A new stream, at whatever endpoint serves, continues from there, so the
reader sees every event once and in order. What arrives is queued for its reader without bound: a reader that stops must
not stop the others on the stream.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from typing import Any, Literal

import msgspec

from component_base.clock import Clock
from component_base.http2.channel import Http2Channel
from component_base.rpc import Code, RpcError
from component_base.tasks import spawn
from kubeclient.etcd3_values import KeyValue, key_value
from skiff_pb.etcd import kv_pb2, rpc_pb2

log = logging.getLogger(__name__)

_WATCH = rpc_pb2.DESCRIPTOR.services_by_name["Watch"]
_COMPACTED = "etcdserver: mvcc: required revision has been compacted"
#: A member without a leader must end the stream rather than serve stale silence.
_REQUIRE_LEADER = {"hasleader": "true"}
#: Refusals that another stream would meet as well.
_FINAL = (Code.UNAUTHENTICATED, Code.PERMISSION_DENIED, Code.UNIMPLEMENTED, Code.INVALID_ARGUMENT)
_RETRY_SECONDS = (0.0, 0.1, 0.2, 0.5, 1.0)


class Event(msgspec.Struct, frozen=True, gc=False):
    """One change of one key. Of a deleted key, `kv` holds only the key and the revision that deleted it."""

    type: Literal["PUT", "DELETE"]
    kv: KeyValue
    prev_kv: KeyValue | None = None


class WatchResponse(msgspec.Struct, frozen=True):
    """Events in order, all of one revision together. No events: everything up to `revision` has been delivered."""

    events: list[Event]
    revision: int


def prefix_end(prefix: bytes) -> bytes:
    """The `range_end` that makes [prefix, range_end) all keys which begin with the prefix."""
    stripped = prefix.rstrip(b"\xff")
    return stripped[:-1] + bytes([stripped[-1] + 1]) if stripped else b"\0"


class _Watch:
    __slots__ = ("needs", "parts", "queue", "request")

    def __init__(self, request: rpc_pb2.WatchCreateRequest) -> None:
        self.request = request
        self.needs = request.start_revision
        self.parts: list[Event] = []
        self.queue: asyncio.Queue[WatchResponse | RpcError] = asyncio.Queue()


class WatchHub:
    """`channel` names the connection to use now, `leave` asks for another one."""

    def __init__(
        self, channel: Callable[[], Http2Channel], leave: Callable[[Http2Channel], None], clock: Clock
    ) -> None:
        self._channel = channel
        self._leave = leave
        self._clock = clock
        self._watches: dict[int, _Watch] = {}
        self._last_id = 0
        self._creating: deque[int] = deque()
        self._outgoing: asyncio.Queue[rpc_pb2.WatchRequest] | None = None
        self._runner: asyncio.Task[None] | None = None

    async def watch(self, request: rpc_pb2.WatchCreateRequest) -> AsyncGenerator[WatchResponse, None]:
        self._last_id += 1
        watch_id = self._last_id
        watch = self._watches[watch_id] = _Watch(request)
        self._send(_create(watch_id, watch))
        if self._runner is None:
            self._runner = spawn(self._run(), "etcd watches")
        try:
            while True:
                response = await watch.queue.get()
                if isinstance(response, RpcError):
                    raise response
                yield response
        finally:
            if self._watches.pop(watch_id, None) is not None:
                cancel = rpc_pb2.WatchCancelRequest(watch_id=watch_id)
                self._send(rpc_pb2.WatchRequest(cancel_request=cancel))

    async def request_progress(self) -> None:
        self._send(rpc_pb2.WatchRequest(progress_request=rpc_pb2.WatchProgressRequest()))

    async def close(self) -> None:
        if self._runner is not None:
            self._runner.cancel()
            await asyncio.wait([self._runner])
        self._fail(RpcError(Code.CANCELLED, "the client is closed"))

    # The stream

    def _send(self, request: rpc_pb2.WatchRequest) -> None:
        """Lost while there is no stream: the next one begins with a create for each watch that exists then."""
        if self._outgoing is not None:
            self._outgoing.put_nowait(request)
            if request.HasField("create_request"):
                self._creating.append(request.create_request.watch_id)

    async def _run(self) -> None:
        failures = 0
        while True:
            outgoing = self._outgoing = asyncio.Queue()
            self._creating.clear()
            for watch_id, watch in self._watches.items():
                watch.parts.clear()
                self._send(_create(watch_id, watch))
            channel = self._channel()
            try:
                responses = channel.stream(_WATCH, "Watch", _drain(outgoing), metadata=_REQUIRE_LEADER)
                async for response in responses:
                    failures = 0
                    self._dispatch(response)
                problem = RpcError(Code.UNAVAILABLE, "the server ended the watch stream")
            except RpcError as error:
                problem = error
            self._outgoing = None
            if problem.code in _FINAL:
                self._fail(problem)
            else:
                log.info("watch stream to etcd ended, connecting again: %s", problem.message)
                self._leave(channel)
            await self._clock.sleep(_RETRY_SECONDS[min(failures, len(_RETRY_SECONDS) - 1)])
            failures += 1

    def _fail(self, problem: RpcError) -> None:
        for watch in self._watches.values():
            watch.queue.put_nowait(problem)
        self._watches.clear()

    def _dispatch(self, response: Any) -> None:
        watch_id: int = response.watch_id
        revision: int = response.header.revision
        if response.created:
            # Creates are answered in their order; one that is refused is answered without its id.
            watch_id = self._creating.popleft()
        watch = self._watches.get(watch_id)
        if watch is None:
            if watch_id == -1 and not response.canceled:
                self._notice_all(revision)
        elif response.canceled:
            del self._watches[watch_id]
            watch.queue.put_nowait(_refusal(response))
        elif response.created:
            watch.needs = watch.needs or revision + 1
        elif response.events:
            watch.parts.extend(_event(event) for event in response.events)
            if not response.fragment:
                events, watch.parts = watch.parts, []
                watch.needs = events[-1].kv.mod_revision + 1
                watch.queue.put_nowait(WatchResponse(events, revision))
        else:
            watch.needs = max(watch.needs, revision + 1)
            watch.queue.put_nowait(WatchResponse([], revision))

    def _notice_all(self, revision: int) -> None:
        """A progress notice that was asked for speaks for the whole stream."""
        for watch in self._watches.values():
            if watch.needs <= revision + 1:
                watch.needs = max(watch.needs, revision + 1)
                watch.queue.put_nowait(WatchResponse([], revision))


async def _drain(queue: asyncio.Queue[rpc_pb2.WatchRequest]) -> AsyncIterator[rpc_pb2.WatchRequest]:
    while True:
        yield await queue.get()


def _create(watch_id: int, watch: _Watch) -> rpc_pb2.WatchRequest:
    request = rpc_pb2.WatchCreateRequest()
    request.CopyFrom(watch.request)
    request.watch_id = watch_id
    request.start_revision = watch.needs
    return rpc_pb2.WatchRequest(create_request=request)


def _event(message: Any) -> Event:
    previous = key_value(message.prev_kv) if message.HasField("prev_kv") else None
    return Event("DELETE" if message.type == kv_pb2.Event.DELETE else "PUT", key_value(message.kv), previous)


def _refusal(response: Any) -> RpcError:
    if response.compact_revision:
        return RpcError(Code.OUT_OF_RANGE, _COMPACTED)
    return RpcError(Code.UNKNOWN, response.cancel_reason or "etcdserver: the watch was canceled")
