"""The dumbest store there is: a dictionary, a revision, and etcd's requests executed one at a time.

It exists to say what an answer should have been. It shares no code with the store.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from skiff_pb.etcd import kv_pb2, rpc_pb2
from tests.history.operations import Change

_TARGETS = {
    rpc_pb2.Compare.VERSION: "version",
    rpc_pb2.Compare.CREATE: "create_revision",
    rpc_pb2.Compare.MOD: "mod_revision",
    rpc_pb2.Compare.VALUE: "value",
    rpc_pb2.Compare.LEASE: "lease",
}


@dataclass(frozen=True, slots=True)
class Row:
    value: bytes
    create: int
    mod: int
    version: int
    lease: int

    def message(self, key: bytes) -> kv_pb2.KeyValue:
        return kv_pb2.KeyValue(
            key=key,
            value=self.value,
            create_revision=self.create,
            mod_revision=self.mod,
            version=self.version,
            lease=self.lease,
        )


class Model:
    """The state as of `revision`."""

    def __init__(self) -> None:
        self.revision = 1
        self.rows: dict[bytes, Row] = {}

    def selected(self, start: bytes, end: bytes) -> list[bytes]:
        if not end:
            return [start] if start in self.rows else []
        return [key for key in sorted(self.rows) if key >= start and (end == b"\0" or key < end)]

    def message(self, key: bytes) -> kv_pb2.KeyValue | None:
        row = self.rows.get(key)
        return row.message(key) if row is not None else None

    def advance(self, changes: Sequence[Change]) -> None:
        """The next revision happens."""
        self.revision += 1
        for change in changes:
            self._change(change, self.revision)

    def _change(self, change: Change, revision: int) -> None:
        old = self.rows.get(change.key)
        if change.value is None:
            del self.rows[change.key]
        elif old is None:
            self.rows[change.key] = Row(change.value, revision, revision, 1, change.lease)
        else:
            self.rows[change.key] = Row(change.value, old.create, revision, old.version + 1, change.lease)

    def try_out(self, request: Any) -> tuple[Any, tuple[Change, ...]]:
        """What the request would answer now (headers aside) and change, without changing anything."""
        trial = Model()
        trial.revision, trial.rows = self.revision, dict(self.rows)
        changes: list[Change] = []
        return trial._execute(request, changes), tuple(changes)

    def _execute(self, request: Any, changes: list[Change]) -> Any:
        if isinstance(request, rpc_pb2.PutRequest):
            return self._put(request, changes)
        if isinstance(request, rpc_pb2.RangeRequest):
            return self._range(request)
        if isinstance(request, rpc_pb2.DeleteRangeRequest):
            return self._delete(request, changes)
        if isinstance(request, rpc_pb2.TxnRequest):
            return self._txn(request, changes)
        assert isinstance(request, rpc_pb2.LeaseRevokeRequest), request
        self._drop(sorted(key for key, row in self.rows.items() if row.lease == request.ID), changes)
        return rpc_pb2.LeaseRevokeResponse()

    def _drop(self, keys: Sequence[bytes], changes: list[Change]) -> None:
        for key in keys:
            changes.append(Change(key, None))
            self._change(changes[-1], self.revision + 1)

    def _put(self, request: rpc_pb2.PutRequest, changes: list[Change]) -> rpc_pb2.PutResponse:
        before = self.message(request.key) if request.prev_kv else None
        changes.append(Change(request.key, request.value, request.lease))
        self._change(changes[-1], self.revision + 1)
        return rpc_pb2.PutResponse(prev_kv=before)

    def _range(self, request: rpc_pb2.RangeRequest) -> rpc_pb2.RangeResponse:
        keys = self.selected(request.key, request.range_end)
        answer = rpc_pb2.RangeResponse(count=len(keys))
        if request.limit and len(keys) > request.limit:
            answer.more, keys = True, keys[: request.limit]
        if not request.count_only:
            answer.kvs.extend(self.rows[key].message(key) for key in keys)
        return answer

    def _delete(self, request: rpc_pb2.DeleteRangeRequest, changes: list[Change]) -> rpc_pb2.DeleteRangeResponse:
        keys = self.selected(request.key, request.range_end)
        before = [self.rows[key].message(key) for key in keys] if request.prev_kv else []
        self._drop(keys, changes)
        return rpc_pb2.DeleteRangeResponse(deleted=len(keys), prev_kvs=before)

    def _txn(self, request: rpc_pb2.TxnRequest, changes: list[Change]) -> rpc_pb2.TxnResponse:
        holds = all(self._holds(compare) for compare in request.compare)
        answer = rpc_pb2.TxnResponse(succeeded=holds)
        for operation in request.success if holds else request.failure:
            kind = operation.WhichOneof("request")
            found = self._execute(getattr(operation, kind), changes)
            getattr(answer.responses.add(), kind.replace("request", "response")).CopyFrom(found)
        return answer

    def _holds(self, compare: rpc_pb2.Compare) -> bool:
        name = _TARGETS[compare.target]
        rows = [self.message(key) for key in self.selected(compare.key, compare.range_end)]
        if not compare.range_end and not rows:
            if name == "value":
                return False
            rows = [kv_pb2.KeyValue()]
        wanted = getattr(compare, name)
        return all(_compares(compare.result, getattr(row, name), wanted) for row in rows)


def _compares(result: int, found: Any, wanted: Any) -> bool:
    if result == rpc_pb2.Compare.EQUAL:
        return bool(found == wanted)
    if result == rpc_pb2.Compare.NOT_EQUAL:
        return bool(found != wanted)
    return bool(found > wanted if result == rpc_pb2.Compare.GREATER else found < wanted)
