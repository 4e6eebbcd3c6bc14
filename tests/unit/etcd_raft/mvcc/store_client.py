"""Drives a StoreMachine as the log would, and reads its answers as a client would."""

from __future__ import annotations

from typing import Any

from etcd_raft import requests
from etcd_raft.machine import StoreMachine
from etcd_raft.mvcc.keyspace import range_bounds
from etcd_raft.mvcc.reading import check_revision, range_body
from etcd_raft.mvcc.transaction import Reply
from etcd_raft.mvcc.watching import Watcher
from etcd_raft.ports import AppliedEntry, Refusal
from skiff_pb.etcd import kv_pb2, rpc_pb2

PREFIX_END = b"\xff"


class StoreClient:
    """Requests are applied at once; a refused one raises its Refusal."""

    def __init__(self, store: StoreMachine | None = None, term: int = 1) -> None:
        self.store = store or StoreMachine()
        self.term = term

    @property
    def revision(self) -> int:
        return self.store.space.revision

    def apply(self, *requests: bytes) -> list[object]:
        start = self.store.applied_index + 1
        return self.store.apply([AppliedEntry(start + n, self.term, data) for n, data in enumerate(requests)])

    def propose(self, data: bytes) -> Reply:
        result = self.apply(data)[0]
        if isinstance(result, Refusal):
            raise result
        assert isinstance(result, Reply)
        return result

    def put(self, key: bytes, value: bytes = b"", **fields: Any) -> rpc_pb2.PutResponse:
        reply = self.propose(requests.put(rpc_pb2.PutRequest(key=key, value=value, **fields)))
        return rpc_pb2.PutResponse.FromString(reply.body)

    def delete(self, key: bytes, range_end: bytes = b"", **fields: Any) -> rpc_pb2.DeleteRangeResponse:
        request = rpc_pb2.DeleteRangeRequest(key=key, range_end=range_end, **fields)
        return rpc_pb2.DeleteRangeResponse.FromString(self.propose(requests.delete_range(request)).body)

    def txn(self, **fields: Any) -> rpc_pb2.TxnResponse:
        reply = self.propose(requests.txn(rpc_pb2.TxnRequest(**fields)))
        return rpc_pb2.TxnResponse.FromString(reply.body)

    def compact(self, revision: int) -> None:
        self.propose(requests.compact(rpc_pb2.CompactionRequest(revision=revision)))

    def range(self, key: bytes, range_end: bytes = b"", **fields: Any) -> rpc_pb2.RangeResponse:
        request = rpc_pb2.RangeRequest(key=key, range_end=range_end, **fields)
        check_revision(self.store.space, request.revision)
        return rpc_pb2.RangeResponse.FromString(range_body(self.store.space, request))

    def get(self, key: bytes, revision: int = 0) -> bytes | None:
        kvs = self.range(key, revision=revision).kvs
        return kvs[0].value if kvs else None


class Reader:
    """A watch's other end. `room` is how many batches it takes before it refuses, as a full stream does."""

    def __init__(self, store: StoreMachine, room: int = 1_000_000) -> None:
        self.store = store
        self.room = room
        self.behind = False
        self.responses: list[tuple[int, list[kv_pb2.Event]]] = []

    def watch(self, key: bytes, range_end: bytes = b"", start: int = 0, **options: bool) -> Watcher:
        needs = start or self.store.space.revision + 1
        self.watcher = Watcher(self, 1, key, range_bounds(range_end), needs, **options)
        self.store.watches.add(self.watcher)
        return self.watcher

    def offer(self, watcher: Watcher, events: bytes, revision: int) -> bool:
        if self.room == 0:
            return False
        self.room -= 1
        self.responses.append((revision, list(rpc_pb2.WatchResponse.FromString(events).events)))
        return True

    def fall_behind(self, watcher: Watcher) -> None:
        self.behind = True

    def catch_up(self, revisions: int = 2) -> None:
        """Read the history until the watch is current."""
        while not self.watcher.current:
            batch = self.store.watches.catch_up(self.watcher, revisions, 1 << 20)
            if batch is not None:
                watcher = self.watcher
                events = batch.events(watcher.prev_kv, watcher.no_put, watcher.no_delete)
                if events:
                    self.responses.append((batch.last, list(rpc_pb2.WatchResponse.FromString(events).events)))

    @property
    def events(self) -> list[tuple[str, bytes, int]]:
        return [
            ("DELETE" if event.type else "PUT", event.kv.key, event.kv.mod_revision)
            for _, events in self.responses
            for event in events
        ]
