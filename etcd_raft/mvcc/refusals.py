"""What a request can be refused for, with the codes and texts that etcd's clients match on."""

from __future__ import annotations

from typing import Final

from etcd_raft.ports import Refusal

_INVALID: Final = 3
_NOT_FOUND: Final = 5
_EXHAUSTED: Final = 8
_PRECONDITION: Final = 9
_OUT_OF_RANGE: Final = 11
_DATA_LOSS: Final = 15


def _refusal(code: int, text: str) -> Refusal:
    return Refusal(code, "etcdserver: " + text)


def compacted() -> Refusal:
    return _refusal(_OUT_OF_RANGE, "mvcc: required revision has been compacted")


def future_revision() -> Refusal:
    return _refusal(_OUT_OF_RANGE, "mvcc: required revision is a future revision")


def no_space() -> Refusal:
    return _refusal(_EXHAUSTED, "mvcc: database space exceeded")


def empty_key() -> Refusal:
    return _refusal(_INVALID, "key is not provided")


def key_not_found() -> Refusal:
    return _refusal(_INVALID, "key not found")


def value_provided() -> Refusal:
    return _refusal(_INVALID, "value is provided")


def lease_provided() -> Refusal:
    return _refusal(_INVALID, "lease is provided")


def too_many_operations() -> Refusal:
    return _refusal(_INVALID, "too many operations in txn request")


def duplicate_key() -> Refusal:
    return _refusal(_INVALID, "duplicate key given in txn request")


def invalid_sort_option() -> Refusal:
    return _refusal(_INVALID, "invalid sort option")


def corrupt() -> Refusal:
    return _refusal(_DATA_LOSS, "corrupt cluster")


def request_too_large() -> Refusal:
    return _refusal(_INVALID, "request is too large")


def lease_not_found() -> Refusal:
    return _refusal(_NOT_FOUND, "requested lease not found")


def lease_exists() -> Refusal:
    return _refusal(_PRECONDITION, "lease already exists")


def lease_ttl_too_large() -> Refusal:
    return _refusal(_OUT_OF_RANGE, "too large lease TTL")
