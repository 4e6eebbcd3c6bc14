"""Two kinds of wires: those between members, which lose and shuffle, and those of clients, which break.

Between members every message travels alone. A client's call is a connection of its own: it is answered once, or it
breaks when the member dies, or nobody answers and the client gives up.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from component_base.rpc import Code, RpcError, find_method, handler_name, response_class
from etcd_raft.ports import Member, Refusal, unavailable
from etcd_raft.raft import Kind, Message
from etcd_raft.transport import wire
from skiff_pb.etcd import rpc_pb2
from skiff_pb.raft import peer_pb2

if TYPE_CHECKING:
    from tests.sim.host import Host, Life
    from tests.sim.stack import Stack

#: What travels belongs to no process.
NOWHERE = contextvars.Context()
CALL_SECONDS = 6.0
CHUNK = 300


class SimTransport:
    """node.Transport."""

    def __init__(self, stack: Stack, life: Life) -> None:
        self._stack = stack
        self._life = life
        self._peers: set[int] = set()

    def set_peers(self, members: Sequence[Member]) -> None:
        known, self._peers = self._peers, {member.id for member in members}
        for member in sorted(self._peers - known):
            self._greet(member)

    def _greet(self, member: int) -> None:
        """A new stream: the other side says at once if it knows us as removed."""
        life = self._stack.reached(self._life.host.member, member)
        if life is not None and life.node.is_removed_member(self._life.host.member):
            self._here(self._life.node.removed_elsewhere)
        elif self._life.is_alive and member in self._peers:
            if life is not None:
                urls = self._life.node.peer_urls
                self._stack.loop.call_soon(life.node.meet, self._life.host.member, urls, context=life.context)
            again = 0.5 if life is None else 5.0
            self._stack.loop.call_later(again, self._greet, member, context=NOWHERE)

    def send(self, messages: Iterable[Message]) -> None:
        if not self._life.is_alive:
            return
        stack, rng, weather = self._stack, self._stack.rng, self._stack.weather
        for message in messages:
            stack.invariants.sent(message)
            if message.to not in self._peers:
                continue
            if message.kind is Kind.SNAPSHOT:
                self._life.spawn(self._send_snapshot(message))
                continue
            copies = 1 + (rng.random() < weather.duplication) - (rng.random() < weather.loss)
            if message.kind is Kind.PROPOSE:
                # A forwarded proposal is not idempotent. The stream that carries it delivers once or not at all.
                copies = min(copies, 1)
            for _ in range(copies):
                delay = weather.delay + weather.spread * rng.random()
                stack.loop.call_later(delay, self._arrive, message, context=NOWHERE)

    def _arrive(self, message: Message) -> None:
        life = self._stack.reached(self._life.host.member, message.to)
        if life is None:
            if self._stack.rng.random() < 0.3 and self._life.is_alive:
                self._here(self._life.node.peer_unreachable, message.to)
        elif life.node.is_removed_member(message.sender):
            if self._life.is_alive:
                self._here(self._life.node.removed_elsewhere)
        else:
            self._stack.loop.call_soon(life.receive, message, context=life.context)

    def _here(self, notice: Callable[..., None], *arguments: Any) -> None:
        self._stack.loop.call_soon(notice, *arguments, context=self._life.context)

    async def _send_snapshot(self, message: Message) -> None:
        """The file itself, in parts, through the receiver's real handler; it may break off anywhere."""
        arrived = False
        try:
            assert message.snapshot is not None
            storage = self._life.storage
            file = await asyncio.to_thread(storage.find_snapshot, message.snapshot)
            other = self._stack.reached(self._life.host.member, message.to)
            if file is None or other is None:
                return
            first = peer_pb2.SnapshotPart(
                cluster_id=self._life.node.cluster_id,
                sender=self._life.host.member,
                receiver=message.to,
                message=wire.encode(message),
                membership=file.header.membership,
            )
            content = b"".join(storage.chunks(file))
            parts = [peer_pb2.SnapshotPart(chunk=content[n : n + CHUNK]) for n in range(0, len(content), CHUNK)]
            handling = other.peer_handler.install_snapshot(self._travel(other, [first, *parts]), Nobody())
            arrived = await _ends_well(other, handling) is None
        finally:
            if self._life.is_alive:
                self._life.node.snapshot_sent(message.to, arrived)

    async def _travel(self, other: Life, parts: Sequence[peer_pb2.SnapshotPart]) -> AsyncIterator[Any]:
        for part in parts:
            await asyncio.sleep(self._stack.weather.delay)
            if not self._life.is_alive or self._stack.reached(self._life.host.member, other.host.member) is not other:
                raise RpcError(Code.UNAVAILABLE, "the connection broke")
            yield part

    async def promote(self, leader: int, member_id: int) -> None:
        other = self._stack.reached(self._life.host.member, leader)
        if other is None:
            raise unavailable("request timed out")
        problem = await _ends_well(other, other.node.promote_member(member_id))
        if problem is not None:
            raise problem if isinstance(problem, Refusal) else unavailable("request timed out")


async def _ends_well(other: Life, work: Coroutine[Any, Any, object]) -> Exception | None:
    """Why another process's work failed. That it was killed is the same to us as a connection that broke."""

    async def handled() -> Exception | None:
        try:
            await work
        except (RpcError, Refusal) as problem:
            return problem
        return None

    task = other.spawn(handled())
    await asyncio.wait([task])
    return RpcError(Code.UNAVAILABLE, "the connection broke") if task.cancelled() else task.result()


class Nobody:
    """rpc.CallContext."""

    def __init__(self, metadata: Mapping[str, str] | None = None) -> None:
        self.metadata: Mapping[str, str] = metadata or {}
        self.peer = "sim"
        self.peer_certificate: bytes | None = None

    def time_remaining(self) -> float | None:
        return None

    def cancelled(self) -> bool:
        return False


class Direct(Nobody):
    """rpc.DirectCall: what is told to it goes on to whoever serves the call."""

    def __init__(self, metadata: Mapping[str, str], tell: Callable[[Any], None]) -> None:
        super().__init__(metadata)
        self._tell = tell

    def answer(self, response: bytes) -> None:
        self._tell(response)

    def refuse(self, error: RpcError) -> None:
        self._tell(error)


class Line:
    """A client's way to the members."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self.token = ""

    def _context(self) -> Nobody:
        return Nobody({"token": self.token} if self.token else None)

    def _delay(self) -> float:
        return self._stack.weather.client_delay * (0.5 + self._stack.rng.random())

    async def call(self, host: Host, service: str, rpc: str, request: Any) -> Any:
        """Raises RpcError; what was asked may have happened nevertheless."""
        answer: asyncio.Future[Any] = self._stack.loop.create_future()
        copy = type(request)()
        copy.CopyFrom(request)
        self._stack.loop.call_later(self._delay(), self._arrive, host, service, rpc, copy, answer, context=NOWHERE)
        try:
            return await asyncio.wait_for(answer, CALL_SECONDS)
        except TimeoutError:
            raise RpcError(Code.DEADLINE_EXCEEDED, "nobody answers") from None

    def _arrive(self, host: Host, service: str, rpc: str, request: Any, answer: asyncio.Future[Any]) -> None:
        life = host.life
        if life is None or not life.handlers:
            _resolve(answer, RpcError(Code.UNAVAILABLE, "connection refused"))
            return
        broken = partial(self._later, answer, RpcError(Code.UNAVAILABLE, "the connection broke"))
        life.at_death[broken] = None
        answer.add_done_callback(lambda _: life.at_death.pop(broken, None))
        life.spawn(self._serve(life, service, rpc, request, answer))

    async def _serve(self, life: Life, service: str, rpc: str, request: Any, answer: asyncio.Future[Any]) -> None:
        descriptor = rpc_pb2.DESCRIPTOR.services_by_name[service]
        method = find_method(descriptor, rpc)

        def tell(response: Any) -> None:
            if life.is_alive:
                if isinstance(response, bytes):
                    response = response_class(method).FromString(response)
                self._later(answer, response)

        handler, context = life.handlers[service], self._context()
        begin = getattr(handler, f"begin_{handler_name(rpc)}", None)
        try:
            direct = Direct(context.metadata, tell)
            if begin is not None and begin(request, request.SerializeToString(), direct):
                return
            tell(await getattr(handler, handler_name(rpc))(request, context))
        except RpcError as problem:
            tell(problem)

    def _later(self, answer: asyncio.Future[Any], response: Any) -> None:
        self._stack.loop.call_later(self._delay(), _resolve, answer, response, context=NOWHERE)

    def stream(self, host: Host, service: str, rpc: str) -> StreamLine:
        return StreamLine(self._stack, host, service, rpc, self._context(), self._delay())


def _resolve(answer: asyncio.Future[Any], response: Any) -> None:
    if answer.done():
        return
    if isinstance(response, RpcError):
        answer.set_exception(response)
    else:
        answer.set_result(response)


class StreamLine:
    """A stream in both directions, in order, with a window: who does not read makes the member wait."""

    WINDOW = 3

    def __init__(self, stack: Stack, host: Host, service: str, rpc: str, context: Nobody, delay: float) -> None:
        self._stack = stack
        self._delay = delay
        self._requests: asyncio.Queue[Any] = asyncio.Queue()
        self._responses: asyncio.Queue[Any] = asyncio.Queue()
        self._window = asyncio.Semaphore(self.WINDOW)
        self._task: asyncio.Task[None] | None = None
        self._life: Life | None = None
        life = host.life
        if life is None or not life.handlers:
            self._break()
            return
        life.at_death[self._break] = None
        self._life = life
        method = find_method(rpc_pb2.DESCRIPTOR.services_by_name[service], rpc)
        handler = getattr(life.handlers[service], handler_name(rpc))
        self._task = life.spawn(self._serve(life, handler, context, response_class(method)))

    def send(self, request: Any) -> None:
        self._stack.loop.call_later(self._delay, self._requests.put_nowait, request, context=NOWHERE)

    async def receive(self) -> Any:
        """Raises RpcError once the stream is broken and everything before that was received."""
        response = await self._responses.get()
        self._window.release()
        if isinstance(response, RpcError):
            raise response
        return response

    def close(self) -> None:
        """The client goes away."""
        if self._task is not None and self._life is not None:
            self._life.at_death.pop(self._break, None)
            self._task.cancel()

    async def _serve(self, life: Life, handler: Any, context: Nobody, response_type: Any) -> None:
        try:
            async for response in handler(self._incoming(), context):
                await self._window.acquire()
                if not life.is_alive:
                    return
                parsed = response_type.FromString(response) if isinstance(response, bytes) else response
                self._stack.loop.call_later(self._delay, self._responses.put_nowait, parsed, context=NOWHERE)
        except RpcError as problem:
            self._stack.loop.call_later(self._delay, self._responses.put_nowait, problem, context=NOWHERE)

    async def _incoming(self) -> AsyncIterator[Any]:
        while True:
            yield await self._requests.get()

    def _break(self) -> None:
        problem = RpcError(Code.UNAVAILABLE, "the connection broke")
        self._stack.loop.call_later(self._delay, self._responses.put_nowait, problem, context=NOWHERE)
