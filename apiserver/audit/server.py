"""The server with a record of every request that the policy wants written down.

The base class goes its way; what it learns (who asks, whether they may, what is answered) is noted as it passes by.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, MutableMapping
from typing import Any

import orjson

from apimachinery import errors, protobuf
from apimachinery.errors import StatusError
from apiserver.audit import metrics
from apiserver.audit.options import Auditing
from apiserver.audit.policy import COMPLETE, LEVEL_NAMES, PANIC, RECEIVED, STARTED, Level
from apiserver.audit.record import NO_STATUS, Record, head_of
from apiserver.authz.denial import forbidden
from apiserver.endpoints import api
from apiserver.endpoints.accept import JSON as JSON_TYPE
from apiserver.endpoints.accept import PROTOBUF
from apiserver.endpoints.exchange import Exchange, Header
from apiserver.endpoints.server import MASTERS, ApiServer, attributes_of, is_long
from apiserver.ports import ANONYMOUS, Receive, Scope, Send, User, Verdict
from component_base.rng import uuid4

JSON = dict[str, Any]
DECISION, REASON = "authorization.k8s.io/decision", "authorization.k8s.io/reason"
_NOT_STORED = "failed to store audit event"


class AuditedExchange(Exchange):
    """Notes what is answered. `record` is None until it is known who asks, and after that where nothing is written."""

    __slots__ = ("record",)

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        super().__init__(scope, receive, send)
        self.record: Record | None = None
        self._whole = None  # every answer goes by `send`, where its status is seen
        self.send = self._sending(send)
        extensions = scope.get("extensions") or {}
        if "skiff.upgrade" in extensions:
            upgrade = _Upgrade(extensions["skiff.upgrade"], self)
            self.scope = {**scope, "extensions": {**extensions, "skiff.upgrade": upgrade}}

    def _sending(self, send: Send) -> Send:
        async def sending(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                self.note_code(message["status"])
            await send(message)

        return sending

    def note_code(self, code: int) -> None:
        record = self.record
        if record is None or record.is_answered:
            return
        record.answered_code(code)
        if is_long(self.target) or record.user is None:
            record.write(STARTED)

    # -- What the base class says on its way

    @property
    def annotations(self) -> dict[str, str]:
        return {} if self.record is None else self.record.annotations

    def note_object(self, obj: JSON) -> None:
        if self.record is not None:
            self.record.asked_object(obj)

    def note_patch(self, body: bytes) -> None:
        if self.record is not None:
            self.record.asked_patch(body)

    async def answer_object(self, status: int, obj: Any, extra: Iterable[Header] = ()) -> None:
        if self.record is not None and obj.get("kind") == "Status" and obj.get("apiVersion") == "v1":
            self.record.answered_status(obj)
        await super().answer_object(status, obj, extra)

    async def answer_json(self, status: int, data: bytes, extra: Iterable[Header] = ()) -> None:
        if self.record is not None:
            self.record.answered_object(data)
        await super().answer_json(status, data, extra)

    async def answer_parts(self, status: int, pieces: Iterator[bytes], size: int | None = None) -> None:
        if self.record is not None and self.record.wants_answer:
            await self.answer_json(status, b"".join(pieces))
        else:
            await super().answer_parts(status, pieces, size)

    async def answer(
        self,
        status: int,
        body: bytes,
        content_type: str = JSON_TYPE,
        extra: Iterable[Header] = (),
        compress: bool = True,
    ) -> None:
        record = self.record
        if (
            record is not None and content_type == PROTOBUF and record.wants_answer
        ):  # lists in this form never were JSON
            record.answered_object(orjson.dumps(protobuf.decode(body)))
        await super().answer(status, body, content_type, extra, compress)


class _Upgrade:
    """A connection that is taken over has been answered."""

    def __init__(self, upgrade: Any, exchange: AuditedExchange) -> None:
        self._upgrade = upgrade
        self._exchange = exchange
        self.protocol = upgrade.protocol

    async def hijack(self) -> Any:
        self._exchange.note_code(101)
        return await self._upgrade.hijack()


class AuditedServer(ApiServer):
    def __init__(self, auditing: Auditing, *rest: Any) -> None:
        """`rest` is what every server needs."""
        super().__init__(*rest)
        self._auditing = auditing

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        exchange = AuditedExchange(scope, receive, send)
        try:
            await self.answer(exchange)
        finally:
            _finish(exchange)

    async def _proven(self, exchange: Exchange) -> User:
        assert isinstance(exchange, AuditedExchange)
        try:
            user = await super()._proven(exchange)
        except StatusError:
            self._begin(exchange, None)
            raise
        self._begin(exchange, user)
        if exchange.record is not None and not exchange.record.write(RECEIVED):
            metrics.REJECTED.inc()
            raise errors.internal(_NOT_STORED)
        return user

    def _begin(self, exchange: AuditedExchange, user: User | None) -> None:
        asked = attributes_of(user or ANONYMOUS, exchange)
        decision = self._auditing.policy.decide(user, asked)
        metrics.LEVELS.labels(LEVEL_NAMES[decision.level]).inc()
        if decision.level is Level.NONE:
            return
        exchange.audit_id = exchange.audit_id or exchange.headers.get("audit-id", "") or uuid4()
        client = exchange.scope.get("client")
        peer = str(client[0]) if client else None
        known = head_of(exchange.audit_id, uri_of(exchange.scope), asked.verb, exchange.headers, peer)
        exchange.record = Record(decision, user, known, asked, self._core.clock.now, self._take)

    def _take(self, event: JSON) -> bool:
        metrics.EVENTS.inc()
        kept = [backend.take(event) for backend in self._auditing.backends]
        return all(kept)

    async def _who(self, exchange: Exchange) -> User:
        assert isinstance(exchange, AuditedExchange)
        user = await super()._who(exchange)
        if (record := exchange.record) is not None and user is not record.user:
            record.impersonated = user
        return user

    async def _may(self, user: User, exchange: Exchange) -> None:
        verdict, reason = Verdict.ALLOW, ""
        attributes = attributes_of(user, exchange)
        if MASTERS not in user.groups:
            verdict, reason = await self._authorizer.authorize(attributes)
        annotations = exchange.annotations
        annotations[DECISION] = "allow" if verdict is Verdict.ALLOW else "forbid"
        annotations[REASON] = reason
        if verdict is not Verdict.ALLOW:
            raise forbidden(attributes, reason)

    async def _fail(self, exchange: Exchange, error: Exception) -> None:
        await super()._fail(exchange, error)
        assert isinstance(exchange, AuditedExchange)
        if exchange.record is not None and not api.is_expected(error):
            exchange.record.write(PANIC)
            exchange.record = None


def _finish(exchange: AuditedExchange) -> None:
    record = exchange.record
    if record is None or record.user is None:  # who is not known gets one Event, with the answer
        return
    if record.status is None:
        record.status = dict(NO_STATUS)
        if is_long(exchange.target):
            record.write(STARTED)
    record.write(COMPLETE)


def uri_of(scope: Scope) -> str:
    """As the client wrote it."""
    raw: bytes = scope.get("raw_path") or scope["path"].encode()
    query: bytes = scope.get("query_string", b"")
    path = raw.partition(b"?")[0]
    return (path + b"?" + query if query else path).decode("latin-1")
