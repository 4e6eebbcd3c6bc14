"""What is proposed to the log: one byte that names the request, then the request.

Requests of etcd's API are kept in their protobuf form. The store's own are msgpack arrays.
"""

from __future__ import annotations

from typing import Final

import msgspec

from skiff_pb.etcd import rpc_pb2

PUT: Final = b"P"
DELETE_RANGE: Final = b"D"
TXN: Final = b"T"
COMPACT: Final = b"C"
LEASE_GRANT: Final = b"G"
LEASE_REVOKE: Final = b"R"
LEASE_RENEW: Final = b"N"
LEASE_CHECKPOINT: Final = b"K"
ALARM: Final = b"A"
AUTH_CHANGE: Final = b"U"
AUTH_TOKEN: Final = b"O"
AS_USER: Final = b"S"


class LeaseGrant(msgspec.Struct, frozen=True, array_like=True):
    id: int
    ttl: int


class LeaseRevoke(msgspec.Struct, frozen=True, array_like=True):
    """`term` is 0 when a client asks. A leader that finds a lease expired names its term: once the entry belongs to
    another term that leader was deposed, its clock says nothing, and the request is void. It also names how often the
    lease was renewed through the log: a renewal that came in between makes it void as well."""

    id: int
    term: int = 0
    renewals: int = 0


class LeaseRenew(msgspec.Struct, frozen=True, array_like=True):
    """A keep-alive that arrived at a follower."""

    id: int


class LeaseCheckpoint(msgspec.Struct, frozen=True, array_like=True):
    """Seconds that were left of long leases, as of the leader of `term`."""

    term: int
    remaining: list[tuple[int, int]]


class Alarm(msgspec.Struct, frozen=True, array_like=True):
    member_id: int
    alarm: int
    active: bool


class AuthChange(msgspec.Struct, frozen=True, array_like=True):
    """A change of users or roles: the rpc's name and its request, passwords hashed."""

    name: str
    request: bytes


class AuthToken(msgspec.Struct, frozen=True, array_like=True):
    """A user has shown the password that was valid at `auth_revision`: every member knows the token from now on."""

    user: str
    token: str
    auth_revision: int


class AsUser(msgspec.Struct, frozen=True, array_like=True):
    """A request on behalf of a user, checked again when it is applied: roles may have changed in between."""

    user: str
    auth_revision: int
    request: bytes


_encode = msgspec.msgpack.Encoder().encode


def put(request: rpc_pb2.PutRequest) -> bytes:
    return PUT + request.SerializeToString()


def delete_range(request: rpc_pb2.DeleteRangeRequest) -> bytes:
    return DELETE_RANGE + request.SerializeToString()


def txn(request: rpc_pb2.TxnRequest) -> bytes:
    return TXN + request.SerializeToString()


def compact(request: rpc_pb2.CompactionRequest) -> bytes:
    return COMPACT + request.SerializeToString()


_KINDS: dict[type, bytes] = {
    LeaseGrant: LEASE_GRANT,
    LeaseRevoke: LEASE_REVOKE,
    LeaseRenew: LEASE_RENEW,
    LeaseCheckpoint: LEASE_CHECKPOINT,
    Alarm: ALARM,
    AuthChange: AUTH_CHANGE,
    AuthToken: AUTH_TOKEN,
    AsUser: AS_USER,
}


def own(
    request: LeaseGrant | LeaseRevoke | LeaseRenew | LeaseCheckpoint | Alarm | AuthChange | AuthToken | AsUser,
) -> bytes:
    return _KINDS[type(request)] + _encode(request)
