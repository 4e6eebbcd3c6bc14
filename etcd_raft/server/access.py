"""What all services of a member share: proposing, linearizable reads, response headers, and the limits."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from component_base.rpc import CallContext, Code, DirectCall, RpcError
from etcd_raft import requests
from etcd_raft.auth.accounts import Caller
from etcd_raft.auth.credentials import TokenSource
from etcd_raft.auth.refusals import refused
from etcd_raft.machine import CORRUPT, NOSPACE, StoreMachine
from etcd_raft.mvcc import refusals
from etcd_raft.mvcc.transaction import Reply
from etcd_raft.mvcc.wire import number, sized
from etcd_raft.ports import Node, Refusal, precondition, unavailable
from skiff_pb.etcd import rpc_pb2

DEFAULT_QUOTA: Final = 2 * 1024 * 1024 * 1024
#: What etcd adds to the limit of a request for everything around its keys and values.
MESSAGE_OVERHEAD: Final = 512 * 1024


@dataclass(frozen=True, slots=True)
class Limits:
    """`quota_bytes` 0 means 2 GiB, a negative number none."""

    quota_bytes: int = 0
    max_txn_ops: int = 128
    max_request_bytes: int = 1536 * 1024
    watch_progress_seconds: float = 600.0
    #: A lease must outlive an election.
    min_lease_seconds: int = 2

    @property
    def quota(self) -> float:
        return float("inf") if self.quota_bytes < 0 else self.quota_bytes or DEFAULT_QUOTA


class Access:
    """A member, seen from its services."""

    def __init__(self, node: Node, store: StoreMachine, limits: Limits, tokens: TokenSource) -> None:
        self.tokens = tokens
        self.node = node
        self.store = store
        self.limits = limits
        self._identity = number(b"\x08", node.cluster_id) + number(b"\x10", node.member_id)
        self._header_of: tuple[int, int] = (-1, -1)
        self._header = b""

    def header(self, revision: int | None = None) -> bytes:
        """The header field of a response, encoded; by default with the revision of this moment."""
        if revision is None:
            revision = self.store.space.revision
        term = self.node.term
        if self._header_of != (revision, term):
            self._header_of = (revision, term)
            self._header = sized(b"\x0a", self._identity + number(b"\x18", revision) + number(b"\x20", term))
        return self._header

    def header_message(self) -> rpc_pb2.ResponseHeader:
        return rpc_pb2.ResponseHeader(
            cluster_id=self.node.cluster_id,
            member_id=self.node.member_id,
            revision=self.store.space.revision,
            raft_term=self.node.term,
        )

    def caller(self, context: CallContext) -> Caller | None:
        """Who calls: the user of a token, or the one whom a verified certificate names. None: nobody, or no matter."""
        accounts = self.store.accounts
        if not accounts.is_enabled:
            return None
        metadata = context.metadata
        token = metadata.get("token") or metadata.get("authorization", "").removeprefix("Bearer ")
        if token:
            return self.tokens.caller(token)
        certificate = context.peer_certificate
        name = common_name(certificate) if certificate else ""
        return Caller(name, accounts.revision) if name else None

    def check_admin(self, context: CallContext) -> None:
        if self.store.accounts.is_enabled:
            self.store.accounts.check_admin(self.caller(context))

    async def propose(self, data: bytes, context: CallContext | None = None) -> Reply:
        """`context` is given for what a client wants: its user has to be allowed to."""
        if context is not None and self.store.accounts.is_enabled:
            caller = self.caller(context)
            if caller is None:
                raise refused("user name is empty")
            data = requests.own(requests.AsUser(caller.user, caller.revision, data))
        if len(data) > self.limits.max_request_bytes:
            raise refusals.request_too_large()
        result = await self.node.propose(data)
        if isinstance(result, Refusal):
            raise result
        assert isinstance(result, Reply), "the state machine answers each request"
        return result

    async def answer(self, data: bytes, context: CallContext) -> bytes:
        """Propose for a client, and encode the whole response."""
        reply = await self.propose(data, context)
        return self.header(reply.revision) + reply.body

    def is_plain(self, size: int) -> bool:
        """Whether a write of `size` bytes is just to be proposed: no users, no learner, a leader, and room."""
        node, store = self.node, self.store
        has_room = store.space.size + size <= self.limits.quota
        return has_room and bool(node.leader_id) and not (store.accounts.is_enabled or node.is_learner)

    def begin(self, data: bytes, call: DirectCall) -> None:
        """As `answer`, without a task, where all `is_plain`."""
        if len(data) > self.limits.max_request_bytes:
            raise refusals.request_too_large()
        self.node.begin(data, _Answering(self, call))

    def refuse_if_corrupt(self) -> None:
        if self.store.alarms and self.store.has_alarm(CORRUPT):
            raise refusals.corrupt()

    async def refuse_beyond_quota(self, size: int) -> None:
        """Raise the alarm on the first request that no longer fits; from then on all members refuse to grow."""
        if self.store.space.size + size > self.limits.quota:
            await self.propose(requests.own(requests.Alarm(self.node.member_id, NOSPACE, True)))
            raise refusals.no_space()


class _Answering:
    """Turns what became of a proposal into the answer of a call."""

    __slots__ = ("_access", "_call", "cancelled")

    def __init__(self, access: Access, call: DirectCall) -> None:
        self._access = access
        self._call = call
        self.cancelled = call.cancelled

    def applied(self, result: object) -> None:
        if isinstance(result, Reply):
            self._call.answer(self._access.header(result.revision) + result.body)
        else:
            assert isinstance(result, Refusal), "the state machine answers each request"
            self._call.refuse(rpc_error(result))

    def failed(self, refusal: Refusal) -> None:
        self._call.refuse(rpc_error(refusal))


Handler = TypeVar("Handler", bound=Callable[..., Awaitable[Any]])


def common_name(certificate: bytes) -> str:
    """Of a certificate in PEM or DER that has been verified."""
    # Only a store with accounts reads certificates; the library takes 8 MB in every member otherwise.
    from cryptography import x509
    from cryptography.x509.oid import NameOID

    load = x509.load_pem_x509_certificate if certificate.startswith(b"-----") else x509.load_der_x509_certificate
    names = load(certificate).subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(names[0].value) if names else ""


def rpc_error(refusal: Refusal) -> RpcError:
    return RpcError(Code(refusal.code), refusal.message)


def check_member(access: Access, request: Any, context: CallContext) -> None:
    """A learner serves its own reads only; who insists on a leader is told at once that there is none."""
    node = access.node
    if node.is_learner and not (
        isinstance(request, rpc_pb2.StatusRequest | rpc_pb2.HashKVRequest)
        or (isinstance(request, rpc_pb2.RangeRequest) and request.serializable)
    ):
        raise precondition("rpc not supported for learner")
    if not node.leader_id and context.metadata.get("hasleader") == "true":
        raise unavailable("no leader")


def unary(handler: Handler) -> Handler:
    """Refusals become RpcErrors, after the checks that every unary call is subject to."""

    @functools.wraps(handler)
    async def serve(self: Any, request: Any, context: CallContext) -> Any:
        try:
            check_member(self.access, request, context)
            return await handler(self, request, context)
        except Refusal as refusal:
            raise rpc_error(refusal) from None

    return serve  # type: ignore[return-value]
