"""Answers to ranges: which records a request selects, and the body of its response."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from itertools import chain, islice
from operator import attrgetter
from typing import Any, Final

from etcd_raft.mvcc import refusals
from etcd_raft.mvcc.keyspace import Keyspace, Record, in_range, range_bounds
from etcd_raft.mvcc.wire import decode_kv, encode_kv, number
from skiff_pb.etcd import rpc_pb2

_KEY: Final = attrgetter("key")
_DESCEND: Final = rpc_pb2.RangeRequest.DESCEND
_BY_KEY: Final = rpc_pb2.RangeRequest.KEY
_SORT_KEYS: dict[int, Callable[[Record], Any]] = {
    rpc_pb2.RangeRequest.KEY: lambda record: record.key,
    rpc_pb2.RangeRequest.VERSION: lambda record: record.version,
    rpc_pb2.RangeRequest.CREATE: lambda record: record.create,
    rpc_pb2.RangeRequest.MOD: lambda record: record.mod,
    rpc_pb2.RangeRequest.VALUE: lambda record: decode_kv(record.field).value,
}
_SORT_ORDERS: Final = frozenset(rpc_pb2.RangeRequest.SortOrder.values())


def check_range(request: rpc_pb2.RangeRequest) -> None:
    """What is wrong with it whatever the state."""
    if not request.key:
        raise refusals.empty_key()
    if request.sort_target not in _SORT_KEYS or request.sort_order not in _SORT_ORDERS:
        raise refusals.invalid_sort_option()


def check_revision(space: Keyspace, revision: int) -> None:
    if revision <= 0:
        return
    if revision > space.revision:
        raise refusals.future_revision()
    if revision < space.compacted:
        raise refusals.compacted()


def range_body(space: Keyspace, request: rpc_pb2.RangeRequest, uncommitted: list[Record] | None = None) -> bytes:
    """The response without its header. `uncommitted` are the changes that the same transaction has made so far."""
    space.ranges += 1
    start, end, limit, revision = request.key, range_bounds(request.range_end), request.limit, request.revision
    order, target = request.sort_order, request.sort_target
    sorts = target != _BY_KEY or order == _DESCEND
    filters = bool(
        request.min_mod_revision
        or request.max_mod_revision
        or request.min_create_revision
        or request.max_create_revision
    )
    takes = 0 if sorts or filters else limit
    if revision <= 0 or (revision == space.revision and not uncommitted):
        if request.count_only:
            first, last = space.span(start, end)
            return number(b"\x20", last - first)
        records = space.records(start, end, takes)
        if end is None or not takes or len(records) < takes:
            count = len(records)
        else:
            first, last = space.span(start, end)
            count = last - first
    else:
        past = _Past(space, start, end, revision, uncommitted or [])
        count = past.count()
        if request.count_only:
            return number(b"\x20", count)
        records = past.records(takes)
    if filters:
        records = [record for record in records if _passes(record, request)]
    if sorts:
        records = sorted(records, key=_SORT_KEYS[target], reverse=order == _DESCEND)
    more = count > len(records) if takes else bool(limit) and len(records) > limit
    if limit and len(records) > limit:
        more, records = True, records[:limit]
    if request.keys_only:
        fields = [_without_value(record) for record in records]
    else:
        fields = [record.field for record in records]
    if more:
        fields.append(b"\x18\x01")
    fields.append(number(b"\x20", count))
    return b"".join(fields)


class _Past:
    """A range as of an older revision: the present, with what has changed since put back."""

    def __init__(
        self, space: Keyspace, start: bytes, end: bytes | None, revision: int, uncommitted: list[Record]
    ) -> None:
        self._space = space
        self._bounds = space.span(start, end)
        self._then: dict[bytes, Record | None] = {}
        for change in chain(space.changes_since(revision), uncommitted):
            if change.key not in self._then and in_range(change.key, start, end):
                self._then[change.key] = space.at(change.key, revision)

    def count(self) -> int:
        first, last = self._bounds
        present = sum(key in self._space.live for key in self._then)
        return last - first - present + sum(record is not None for record in self._then.values())

    def records(self, limit: int) -> list[Record]:
        """The first `limit` of them, or all."""
        live, then = self._space.live, self._then
        unchanged = (live[key] for key in self._space.order.islice(*self._bounds) if key not in then)
        restored = sorted((record for record in then.values() if record is not None), key=_KEY)
        merged = heapq.merge(unchanged, restored, key=_KEY) if restored else unchanged
        return list(islice(merged, limit or None))


def _passes(record: Record, request: rpc_pb2.RangeRequest) -> bool:
    return (
        record.mod >= request.min_mod_revision
        and (not request.max_mod_revision or record.mod <= request.max_mod_revision)
        and record.create >= request.min_create_revision
        and (not request.max_create_revision or record.create <= request.max_create_revision)
    )


def _without_value(record: Record) -> bytes:
    return encode_kv(record.key, b"", record.create, record.mod, record.version, record.lease)
