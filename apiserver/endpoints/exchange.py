"""One HTTP request on its way through the server, and the ways to answer it."""

from __future__ import annotations

import asyncio
import gzip
import itertools
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any
from urllib.parse import parse_qsl

import orjson
import yaml

from apimachinery import errors, protobuf
from apimachinery.errors import StatusError
from apiserver.endpoints.accept import JSON, PLAIN, PROTOBUF, YAML, Representation, negotiate, pretty_wanted
from apiserver.endpoints.path import Target, parse
from apiserver.ports import ANONYMOUS, Receive, Scope, Send, User
from component_base.rng import uuid4
from component_base.turns import next_turn

#: As upstream: compressing less than this costs more than it saves.
COMPRESS_FROM_BYTES = 128 * 1024
#: From here on compression is moved off the loop's thread.
COMPRESS_ASIDE_BYTES = 1024 * 1024
#: An answer in pieces that is no longer than this is sent as one.
PIECE_BYTES = 64 * 1024
MAX_WARNINGS_BYTES = 4096
#: Clients in Python refuse answers with more than a hundred headers.
MAX_WARNINGS = 80
Header = tuple[bytes, bytes]
NO_PAGE = b"404 page not found\n"
TEXT = "text/plain; charset=utf-8"
_NO_CACHE: Header = (b"cache-control", b"no-cache, private")
_COMPRESSED: tuple[Header, ...] = ((b"content-encoding", b"gzip"), (b"vary", b"Accept-Encoding"))


class Exchange:
    """Headers and queries are read on first use: most requests need few of them."""

    __slots__ = (
        "_headers",
        "_pairs",
        "_query",
        "_whole",
        "audit_id",
        "body_size",
        "marks",
        "method",
        "on_begin",
        "path",
        "receive",
        "representation",
        "scope",
        "send",
        "started",
        "status",
        "target",
        "user",
        "warnings",
    )

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.scope = scope
        self.receive = receive
        self.send = send
        self.method: str = scope["method"]
        self.path: str = scope["path"]
        self._headers: dict[str, str] | None = None
        self._pairs: list[tuple[str, str]] | None = None
        self._query: dict[str, str] | None = None
        self.user: User = ANONYMOUS
        self.warnings: list[str] = []
        self.representation: Representation = PLAIN
        self.status = 0
        self.started = False
        self.audit_id = ""
        self.body_size = 0
        self.marks: tuple[Header, ...] = ()
        """Headers of flow control, on every answer."""
        self.on_begin: Callable[[], None] | None = None
        """Called when the answer's head is sent: a watch is not counted as work any more from then on."""
        self._whole = scope["extensions"].get("skiff.answer") if "extensions" in scope else None
        self.target: Target = parse(self.method, self.path, self.query)

    @property
    def headers(self) -> dict[str, str]:
        """Lower-case names; repeated headers are joined by line breaks, as none of them may hold one."""
        if self._headers is None:
            found: dict[str, str] = {}
            for name, value in self.scope["headers"]:
                key, text = name.decode("latin-1"), value.decode("latin-1")
                found[key] = f"{found[key]}\n{text}" if key in found else text
            self._headers = found
        return self._headers

    @property
    def pairs(self) -> list[tuple[str, str]]:
        if self._pairs is None:
            raw: bytes = self.scope.get("query_string", b"")
            self._pairs = parse_qsl(raw.decode("latin-1"), keep_blank_values=True) if raw else []
        return self._pairs

    @property
    def query(self) -> dict[str, str]:
        """The first value of each name."""
        if self._query is None:
            self._query = {}
            for name, value in self.pairs:
                self._query.setdefault(name, value)
        return self._query

    @property
    def client_certificate(self) -> bytes | None:
        tls = self.scope.get("extensions", {}).get("skiff.tls")
        return tls["client_certificate"] if tls else None

    def choose(self, watch: bool = False, tables: bool = True) -> Representation:
        """Settle the representation of the answer. Raises StatusError 406."""
        accept = self.headers.get("accept", "").replace("\n", ",")
        pretty = pretty_wanted(self.query, self.headers.get("user-agent", ""))
        self.representation = negotiate(accept, watch, pretty, tables)
        return self.representation

    @property
    def is_paused(self) -> bool:
        """The client does not read as fast as it is answered: `send` will wait."""
        return self._whole is not None and self._whole.is_paused

    # -- For the audit log, which listens where there is one

    @property
    def annotations(self) -> dict[str, str]:
        """What admission and authorization have to say about the request."""
        return {}

    def note_object(self, obj: dict[str, Any]) -> None:
        """What the body was decoded to."""

    def note_patch(self, body: bytes) -> None:
        """A patch in JSON, which is no object."""

    # -- Answers

    def answer_through(self, send: Send, receive: Receive) -> None:
        """From here on nothing goes to the connection itself: what is sent has another form, such as messages."""
        self.send, self.receive, self._whole = send, receive, None

    def standing_headers(self) -> list[Header]:
        """What every answer carries, whoever makes it."""
        self.audit_id = self.audit_id or self.headers.get("audit-id", "") or uuid4()
        return [(b"audit-id", self.audit_id.encode("latin-1")), _NO_CACHE, *self.marks]

    def head(self, content_type: str, extra: Iterable[Header] = ()) -> list[Header]:
        headers = [*self.standing_headers(), (b"content-type", content_type.encode())]
        headers += [(b"warning", warning) for warning in _warnings(self.warnings)]
        headers += extra
        return headers

    async def answer(
        self, status: int, body: bytes, content_type: str = JSON, extra: Iterable[Header] = (), compress: bool = True
    ) -> None:
        headers = self.head(content_type, extra)
        if compress and len(body) >= COMPRESS_FROM_BYTES and "gzip" in self.headers.get("accept-encoding", ""):
            if len(body) >= COMPRESS_ASIDE_BYTES:
                body = await asyncio.to_thread(gzip.compress, body, 1)
            else:
                body = gzip.compress(body, 1)
            headers += _COMPRESSED
        whole = self._whole
        if whole is not None and not whole.is_paused:
            self.status, self.started = status, True
            whole.respond(status, headers, body)
            return
        headers.append((b"content-length", b"%d" % len(body)))
        await self.begin(status, headers)
        await self.send({"type": "http.response.body", "body": b"" if self.method == "HEAD" else body})

    async def answer_parts(self, status: int, pieces: Iterator[bytes], size: int | None = None) -> None:
        """JSON in pieces, however many: each is made when the client has room for it, and in a turn of its own.

        Where the `size` of all is not known, they are made before the answer begins.
        """
        if self.representation.media_type == YAML or size is None:
            made = await _all(pieces)
            pieces, size = iter(made), sum(map(len, made))
        if self.representation.media_type == YAML:
            await self.answer(status, await asyncio.to_thread(as_yaml, b"".join(pieces)), YAML)
            return
        if size <= PIECE_BYTES:
            await self.answer(status, b"".join(pieces))
            return
        headers = self.head(JSON)
        if size >= COMPRESS_FROM_BYTES and "gzip" in self.headers.get("accept-encoding", ""):
            headers += _COMPRESSED
            packer = zlib.compressobj(1, wbits=zlib.MAX_WBITS | 16)
        else:
            headers.append((b"content-length", b"%d" % size))
            packer = None
        await self.begin(status, headers)
        if self.method != "HEAD":
            for piece in pieces:
                data = piece if packer is None else await asyncio.to_thread(packer.compress, piece)
                if data:
                    await self.send({"type": "http.response.body", "body": data, "more_body": True})
                await next_turn()
        rest = packer.flush() if packer is not None else b""
        await self.send({"type": "http.response.body", "body": rest})

    def push(self, data: bytes) -> bool:
        """More of an answer that has begun, written at once; False where one must wait for the client, by `send`."""
        whole = self._whole
        if whole is None or whole.is_paused:
            return False
        whole.stream(data)
        return True

    async def begin(self, status: int, headers: Sequence[Header]) -> None:
        self.status = status
        self.started = True
        if self.on_begin is not None:
            self.on_begin()
        await self.send({"type": "http.response.start", "status": status, "headers": list(headers)})

    async def answer_json(self, status: int, data: bytes, extra: Iterable[Header] = ()) -> None:
        """`data` is JSON; people and YAML readers get it in their form."""
        shape = self.representation
        if shape.media_type == YAML:
            await self.answer(status, as_yaml(data), YAML, extra)
        elif shape.media_type == PROTOBUF:
            await self.answer(status, as_protobuf(data), PROTOBUF, extra)
        elif shape.pretty:
            pretty = orjson.dumps(orjson.loads(data), option=orjson.OPT_INDENT_2)
            await self.answer(status, pretty, JSON, extra)
        else:
            await self.answer(status, data, JSON, extra)

    async def answer_object(self, status: int, obj: Any, extra: Iterable[Header] = ()) -> None:
        await self.answer_json(status, orjson.dumps(obj), extra)

    async def answer_no_page(self) -> None:
        """For paths outside the API; clients turn it into the sentence they print."""
        await self.answer(404, NO_PAGE, TEXT, [(b"x-content-type-options", b"nosniff")])

    async def refuse(self, error: StatusError) -> None:
        if error.code == 406:
            self.representation = PLAIN
        if self.representation is PLAIN:  # refused before a form was chosen
            self.representation = Representation(pretty=pretty_wanted(self.query, self.headers.get("user-agent", "")))
        extra: list[Header] = []
        if error.retry_after and error.code in (429, 503, 500, 504):
            extra.append((b"retry-after", b"%d" % error.retry_after))
        if error.code == 401:
            extra.append((b"www-authenticate", b'Basic realm="kubernetes-master"'))
        await self.answer_object(error.code, error.body(), extra)


async def _all(pieces: Iterator[bytes]) -> list[bytes]:
    made = []
    for piece in pieces:
        made.append(piece)
        await next_turn()
    return made


def as_protobuf(data: bytes) -> bytes:
    """Raises StatusError 406 for kinds that have no such form."""
    try:
        return protobuf.encode(orjson.loads(data))
    except protobuf.WireError as error:
        raise errors.not_acceptable((JSON, YAML)) from error


def as_yaml(data: bytes) -> bytes:
    dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
    text: str = yaml.dump(orjson.loads(data), Dumper=dumper, default_flow_style=False, allow_unicode=True)
    return text.encode()


def _warnings(texts: list[str]) -> Iterable[bytes]:
    room = MAX_WARNINGS_BYTES
    for text in itertools.islice(dict.fromkeys(texts), MAX_WARNINGS):
        clean = text.replace("\\", "\\\\").replace('"', '\\"')
        line = "".join(c if c.isprintable() else " " for c in clean).encode("utf-8", "replace")
        room -= len(line)
        if room < 0:
            return
        yield b'299 - "%b"' % line


def too_slow() -> StatusError:
    return errors.timeout("request did not complete within the allotted timeout")
