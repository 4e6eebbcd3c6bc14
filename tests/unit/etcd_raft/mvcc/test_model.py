"""The store against a model that keeps a whole copy of the keys for every revision."""

from __future__ import annotations

import hypothesis.strategies as st
import pytest
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from etcd_raft.machine import StoreMachine
from etcd_raft.mvcc.hashing import hash_steps
from etcd_raft.ports import Refusal
from skiff_pb.etcd import rpc_pb2
from tests.unit.etcd_raft.mvcc.store_client import Reader, StoreClient

KEYS = st.sampled_from([b"a", b"aa", b"ab", b"b", b"ba", b"c", b"c\xff", b"d"])
ENDS = st.sampled_from([b"", b"\0", b"b", b"c", b"d", b"ab"])
VALUES = st.binary(max_size=3)

#: value, create, mod, version
Row = tuple[bytes, int, int, int]


class StoreModel(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.client = StoreClient()
        self.states: list[dict[bytes, Row]] = [{}, {}]
        self.changes: list[tuple[str, bytes, int]] = []
        self.compacted = 0
        self.readers: list[tuple[Reader, int]] = []

    # Model

    @property
    def revision(self) -> int:
        return len(self.states) - 1

    def selected(self, revision: int, start: bytes, end: bytes) -> list[bytes]:
        state = self.states[revision]
        if end == b"":
            return [start] if start in state else []
        return [key for key in sorted(state) if key >= start and (end == b"\0" or key < end)]

    def write(self, puts: dict[bytes, bytes], deletes: list[bytes]) -> None:
        state, revision = dict(self.states[-1]), self.revision + 1
        for key in deletes:
            del state[key]
            self.changes.append(("DELETE", key, revision))
        for key, value in puts.items():
            old = state.get(key)
            state[key] = (value, old[1] if old else revision, revision, old[3] + 1 if old else 1)
            self.changes.append(("PUT", key, revision))
        if puts or deletes:
            self.states.append(state)

    # Rules

    @rule(key=KEYS, value=VALUES)
    def put(self, key: bytes, value: bytes) -> None:
        self.client.put(key, value)
        self.write({key: value}, [])

    @rule(start=KEYS, end=ENDS)
    def delete(self, start: bytes, end: bytes) -> None:
        gone = self.selected(self.revision, start, end)
        assert self.client.delete(start, end).deleted == len(gone)
        self.write({}, gone)

    @rule(puts=st.dictionaries(KEYS, VALUES, max_size=3), gone=KEYS, version=st.integers(0, 2))
    def transact(self, puts: dict[bytes, bytes], gone: bytes, version: int) -> None:
        puts.pop(gone, None)
        holds = (self.states[-1][gone][3] if gone in self.states[-1] else 0) == version
        operations = [
            rpc_pb2.RequestOp(request_delete_range=rpc_pb2.DeleteRangeRequest(key=gone)),
            *(rpc_pb2.RequestOp(request_put=rpc_pb2.PutRequest(key=k, value=v)) for k, v in puts.items()),
        ]
        compare = rpc_pb2.Compare(key=gone, target=rpc_pb2.Compare.VERSION, version=version)
        assert self.client.txn(compare=[compare], success=operations).succeeded is holds
        if holds:
            self.write(puts, self.selected(self.revision, gone, b""))

    @precondition(lambda self: self.revision > self.compacted + 1)
    @rule(data=st.data())
    def compact(self, data: st.DataObject) -> None:
        revision = data.draw(st.integers(self.compacted + 1, self.revision))
        self.client.compact(revision)
        self.compacted = revision

    @rule(revisions=st.integers(1, 5))
    def prune(self, revisions: int) -> None:
        self.client.store.space.prune(revisions)

    @rule(start=KEYS, end=ENDS, limit=st.integers(0, 3), data=st.data())
    def read(self, start: bytes, end: bytes, limit: int, data: st.DataObject) -> None:
        revision = data.draw(st.integers(0, self.revision + 1))
        if revision and not max(1, self.compacted) <= revision <= self.revision:
            with pytest.raises(Refusal):
                self.client.range(start, end, revision=revision)
            return
        response = self.client.range(start, end, limit=limit, revision=revision)
        at = revision or self.revision
        expected = self.selected(at, start, end)
        assert response.count == len(expected)
        assert response.more is bool(limit and len(expected) > limit)
        assert [(kv.key, kv.value, kv.create_revision, kv.mod_revision, kv.version) for kv in response.kvs] == [
            (key, *self.states[at][key]) for key in expected[: limit or None]
        ]

    @rule(start=KEYS, end=ENDS, room=st.integers(0, 3), data=st.data())
    def watch(self, start: bytes, end: bytes, room: int, data: st.DataObject) -> None:
        if end not in (b"", b"\0") and start >= end:
            return
        first = data.draw(st.integers(max(1, self.compacted), self.revision + 2))
        reader = Reader(self.client.store, room)
        reader.watch(start, end, first)
        self.readers.append((reader, first))

    @rule()
    def catch_up(self) -> None:
        for reader, first in list(self.readers):
            if self.client.store.watches.is_compacted(reader.watcher):
                self.readers.remove((reader, first))
                continue
            reader.catch_up()
            watcher = reader.watcher
            assert reader.events == [
                change
                for change in self.changes
                if change[2] >= first
                and (change[1] == watcher.start if watcher.end is None else change[1] >= watcher.start)
                and not (watcher.end and change[1] >= watcher.end)
            ]

    @rule()
    def restart_from_snapshot(self) -> None:
        other = StoreMachine()
        other.restore(self.client.store.snapshot())
        assert list(hash_steps(other.space, self.revision))[-1] == self.hash()
        self.client.store.restore(iter([b"".join(self.client.store.snapshot())]))

    def hash(self) -> int:
        return list(hash_steps(self.client.store.space, self.revision))[-1]

    @invariant()
    def revisions_agree(self) -> None:
        assert self.client.revision == self.revision
        assert list(self.client.store.space.order) == sorted(self.states[-1])


StoreModel.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestStoreModel = StoreModel.TestCase
