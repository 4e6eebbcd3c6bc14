"""One request and its answer, as ASGI sees them.

Does what uvicorn's `RequestResponseCycle` does at a third of its cost: head and body of an answer leave in one write
(one TLS record, one system call), header lines are checked all at once, and no event is made unless somebody waits.
Applications of ours that have the whole answer at hand may skip ASGI's messages: see `Cycle.respond`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol

from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import STATUS_LINE

log = logging.getLogger("uvicorn.error")

Message = dict[str, Any]
Header = tuple[bytes, bytes]
App = Callable[[Any, Any, Any], Awaitable[None]]
_CLOSED: Message = {"type": "http.disconnect"}
#: Answers that have no body, and say nothing of its length.
_BARE = frozenset((204, 304))


class Connection(Protocol):
    """What a cycle needs of the protocol that it runs on."""

    transport: asyncio.Transport
    flow: FlowControl
    tasks: set[asyncio.Task[None]]

    @property
    def date(self) -> bytes:
        """The line that every answer begins with, line end included."""
        ...

    def on_response_complete(self) -> None: ...

    def end(self) -> None:
        """Closes after what has been written; what the client is still sending does not spoil it."""
        ...


class Cycle:
    """`body` grows and `more_body` falls as the request arrives; `disconnected` when the client has gone."""

    __slots__ = (
        "_chunked",
        "_connection",
        "_expects_continue",
        "_has_news",
        "_head",
        "_is_head",
        "_left",
        "_scope",
        "_waiting",
        "body",
        "disconnected",
        "keep_alive",
        "more_body",
        "response_complete",
        "response_started",
    )

    def __init__(self, connection: Connection, scope: Any, keep_alive: bool, expects_continue: bool) -> None:
        self._connection = connection
        self._scope: Any = scope
        self.keep_alive = keep_alive
        self._expects_continue = expects_continue
        self.body = b""
        self.more_body = True
        self.disconnected = False
        self.response_started = False
        self.response_complete = False
        self._is_head = scope["method"] == "HEAD"
        self._chunked = False
        self._left = 0
        self._head = b""
        """Of an answer, until it is sent together with the first of the body."""
        self._has_news = False
        self._waiting: asyncio.Future[None] | None = None

    async def run(self, app: App) -> None:
        scope, self._scope = (
            self._scope,
            None,
        )  # the scope refers to its cycle: not both ways, or each is garbage to find
        try:
            await app(scope, self.receive, self.send)
        except BaseException as error:
            log.error("an error went through the application", exc_info=error)
            self._break_off()
        else:
            if not self.response_complete and not self.disconnected:
                log.error("the application ended without a complete answer")
                self._break_off()
        finally:
            task = asyncio.current_task()
            if task is not None:
                self._connection.tasks.discard(task)

    def _break_off(self) -> None:
        if self.response_started:
            self._connection.transport.close()
        elif not self.disconnected:
            headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"connection", b"close")]
            self.respond(500, headers, b"Internal Server Error")

    # What the connection says

    def wake(self) -> None:
        """There is something to `receive`: more of the body, its end, or the connection's."""
        self._has_news = True
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)

    # ASGI

    async def receive(self) -> Message:
        connection = self._connection
        if self._expects_continue:
            self._expects_continue = False
            if not self.disconnected and not connection.transport.is_closing():
                connection.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        if not self.disconnected and not self.response_complete:
            connection.flow.resume_reading()
            if not self._has_news:
                await self._news()
            self._has_news = False
        if self.disconnected or self.response_complete:
            return _CLOSED
        message = {"type": "http.request", "body": self.body, "more_body": self.more_body}
        self.body = b""
        return message

    async def _news(self) -> None:
        if self._waiting is None or self._waiting.done():
            self._waiting = asyncio.get_running_loop().create_future()
        await self._waiting

    async def send(self, message: Message) -> None:
        """Raises RuntimeError for messages out of their order, as uvicorn does."""
        if self._connection.flow.write_paused and not self.disconnected:
            await self._connection.flow.drain()
        if self.disconnected:
            return
        kind = message["type"]
        if not self.response_started:
            if kind != "http.response.start":
                raise RuntimeError(f"an answer begins with http.response.start, not with {kind}")
            self._begin(message["status"], message.get("headers", ()))
            asyncio.get_running_loop().call_soon(self._flush_head)
        elif self.response_complete or kind != "http.response.body":
            raise RuntimeError(f"{kind} after the answer's {'end' if self.response_complete else 'head'}")
        else:
            self._body(message.get("body", b""), message.get("more_body", False))

    # Answers

    @property
    def is_paused(self) -> bool:
        """The client is slow to read: who has much to say waits, by `send`."""
        return self._connection.flow.write_paused

    def respond(self, status: int, headers: Sequence[Header], body: bytes) -> None:
        """A whole answer at once; its length is added to the headers."""
        if self.disconnected:
            return
        if status not in _BARE:
            headers = [*headers, (b"content-length", b"%d" % len(body))]
        self._begin(status, headers)
        self._body(body, False)

    def stream(self, data: bytes) -> None:
        """More of an answer that has begun. Look at `is_paused` before: here nothing waits."""
        if not self.disconnected:
            self._body(data, True)

    def _begin(self, status: int, headers: Sequence[Header]) -> None:
        self.response_started = True
        if self._expects_continue and self.more_body:  # whether the body will come now, nobody knows
            self.keep_alive = False
        self._expects_continue = False
        lines = [STATUS_LINE[status], self._connection.date]
        length: int | None = None
        says_close = False
        for name, value in headers:
            lines.append(b"%b: %b\r\n" % (name, value))
            lower = name.lower()
            if lower == b"content-length":
                length = int(value)
            elif lower == b"transfer-encoding":
                self._chunked = value.lower() == b"chunked"
            elif lower == b"connection" and b"close" in value.lower():
                self.keep_alive, says_close = False, True
        if not self.keep_alive and not says_close:
            lines.append(b"connection: close\r\n")
        if length is None and not self._chunked and not self._is_head and status not in _BARE:
            self._chunked = True
            lines.append(b"transfer-encoding: chunked\r\n")
        head = b"".join(lines)
        if not head.count(b"\n") == head.count(b"\r") == len(lines):
            raise RuntimeError("a header holds a line break")
        self._left = 0 if self._chunked or self._is_head else length or 0
        self._head = head + b"\r\n"

    def _flush_head(self) -> None:
        """The body did not follow in the same turn of the loop, so the head goes alone."""
        head, self._head = self._head, b""
        if head and not self.disconnected:
            self._connection.transport.write(head)

    def _body(self, body: bytes, more: bool) -> None:
        head, self._head = self._head, b""
        if self._is_head:
            body = b""
        elif self._chunked:
            end = b"" if more else b"0\r\n\r\n"
            body = b"%x\r\n%b\r\n%b" % (len(body), body, end) if body else end
        else:
            self._left -= len(body)
            if self._left < 0 or (self._left and not more):
                raise RuntimeError(f"the answer's body is {'longer' if self._left < 0 else 'shorter'} than it said")
        transport = self._connection.transport
        if head:
            transport.write(head + body if body else head)
        elif body:
            transport.write(body)
        if not more:
            self.response_complete = True
            self.wake()
            if not self.keep_alive:
                if self.more_body:
                    self._connection.end()
                else:
                    transport.close()
            self._connection.on_response_complete()
