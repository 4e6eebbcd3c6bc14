"""Watches: every change once, in order, however slow the reader. Cases named after etcd's issues are its history."""

from __future__ import annotations

from etcd_raft import requests
from etcd_raft.machine import StoreMachine
from etcd_raft.mvcc.watching import all_current
from skiff_pb.etcd import rpc_pb2
from tests.unit.etcd_raft.mvcc.store_client import Reader, StoreClient


def put(key: bytes) -> bytes:
    return requests.put(rpc_pb2.PutRequest(key=key))


def test_a_watch_sees_its_range_from_now_on() -> None:
    client = StoreClient()
    client.put(b"a/1")
    reader = Reader(client.store)
    reader.watch(b"a/", b"a0")
    client.put(b"a/2")
    client.put(b"b/1")
    client.delete(b"a/", b"a0")
    assert reader.events == [("PUT", b"a/2", 3), ("DELETE", b"a/1", 5), ("DELETE", b"a/2", 5)]


def test_ranges_of_all_shapes_are_found() -> None:
    client = StoreClient()
    shapes = {b"key": b"", b"k": b"l", b"ke": b"key\0", b"\0": b"\0", b"k\xff": b"l"}
    readers = {start: Reader(client.store) for start in shapes}
    for start, end in shapes.items():
        readers[start].watch(start, end)
    client.put(b"key")
    client.put(b"k\xff1")
    seen = {start: [key for _, key, _ in reader.events] for start, reader in readers.items()}
    assert seen == {
        b"key": [b"key"],
        b"k": [b"key", b"k\xff1"],
        b"ke": [b"key"],
        b"\0": [b"key", b"k\xff1"],
        b"k\xff": [b"k\xff1"],
    }


def test_filters_and_previous_values() -> None:
    client = StoreClient()
    deletions, full = Reader(client.store), Reader(client.store)
    deletions.watch(b"a", no_put=True)
    full.watch(b"a", prev_kv=True)
    client.put(b"a", b"1")
    client.put(b"a", b"2")
    client.delete(b"a")
    assert deletions.events == [("DELETE", b"a", 4)]
    assert [event.prev_kv.value for _, events in full.responses for event in events] == [b"", b"1", b"2"]


def test_a_batch_of_entries_is_one_response_and_encoded_once() -> None:
    client = StoreClient()
    readers = [Reader(client.store) for _ in range(3)]
    for reader in readers:
        reader.watch(b"a", b"b")
    client.apply(put(b"a1"), put(b"x"), put(b"a2"))
    assert [reader.responses[0][0] for reader in readers] == [4, 4, 4]
    assert readers[0].events == [("PUT", b"a1", 2), ("PUT", b"a2", 4)]


def test_a_slow_reader_goes_on_from_the_history() -> None:
    """etcd issue 17529: events were lost while a stream was starved."""
    client = StoreClient()
    reader = Reader(client.store, room=1)
    reader.watch(b"k", b"l")
    for number in range(5):
        client.put(b"k%d" % number)
    assert reader.behind
    assert len(reader.events) == 1
    reader.room = 100
    reader.catch_up()
    client.put(b"k5")
    assert reader.events == [("PUT", b"k%d" % number, number + 2) for number in range(6)]


def test_no_deletion_is_missed_while_compaction_passes_over_it() -> None:
    """etcd issue 18089: a watch that was behind lost the deletion whose tombstone was compacted."""
    client = StoreClient()
    reader = Reader(client.store, room=0)
    reader.watch(b"k")
    client.put(b"k")
    client.delete(b"k")
    client.compact(3)
    client.store.space.prune(100)
    assert client.store.watches.is_compacted(reader.watcher)

    late = Reader(client.store, room=0)
    late.watch(b"k")
    client.put(b"k")
    client.delete(b"k")
    client.compact(4)
    client.store.space.prune(100)
    late.catch_up()
    assert late.events == [("PUT", b"k", 4), ("DELETE", b"k", 5)]


def test_the_compacted_revision_itself_can_still_be_watched() -> None:
    """etcd issue 19179: its deletions were gone."""
    client = StoreClient()
    client.put(b"k")
    client.put(b"other")
    client.delete(b"k")
    client.compact(4)
    client.store.space.prune(100)
    reader = Reader(client.store)
    reader.watch(b"k", start=4)
    reader.catch_up()
    assert reader.events == [("DELETE", b"k", 4)]


def test_a_watch_of_the_future_hears_nothing_of_before() -> None:
    """etcd issue 20221: it received old events and progress notices."""
    client = StoreClient()
    reader = Reader(client.store)
    watcher = reader.watch(b"k", start=5)
    assert not all_current([watcher], client.revision)
    client.apply(put(b"k"), put(b"k"))
    assert reader.events == []
    assert not all_current([watcher], client.revision)
    client.apply(put(b"k"), put(b"k"), put(b"k"))
    assert reader.events == [("PUT", b"k", 5), ("PUT", b"k", 6)]
    assert all_current([watcher], client.revision)


def test_progress_is_not_true_for_a_watch_that_is_behind() -> None:
    """etcd issue 15220: a notice overtook the events it spoke of."""
    client = StoreClient()
    reader = Reader(client.store, room=0)
    watcher = reader.watch(b"k")
    client.put(b"k")
    assert not all_current([watcher], client.revision)
    reader.catch_up()
    assert all_current([watcher], client.revision)


def test_watches_go_on_where_they_were_after_a_snapshot_replaced_the_state() -> None:
    """etcd issue 15271: they travelled back in time when a member had been cut off."""
    leader, follower = StoreClient(), StoreClient()
    for member in (leader, follower):
        member.put(b"k1")
    reader = Reader(follower.store)
    reader.watch(b"k", b"l")
    for member in (leader, follower):
        member.put(b"k2")
    leader.put(b"k3")
    leader.delete(b"k1")
    follower.store.restore(leader.store.snapshot())
    assert reader.behind
    reader.catch_up()
    for member in (leader, follower):
        member.put(b"k4")
    assert reader.events == [("PUT", b"k2", 3), ("PUT", b"k3", 4), ("DELETE", b"k1", 5), ("PUT", b"k4", 6)]


def test_a_compaction_in_the_same_batch_hides_nothing_from_current_watches() -> None:
    client = StoreClient()
    reader = Reader(client.store)
    reader.watch(b"k", b"l")
    client.apply(put(b"k1"), put(b"k1"), requests.compact(rpc_pb2.CompactionRequest(revision=3)), put(b"k2"))
    assert reader.events == [("PUT", b"k1", 2), ("PUT", b"k1", 3), ("PUT", b"k2", 4)]


def test_a_watch_that_ended_leaves_nothing_behind() -> None:
    store = StoreMachine()
    reader = Reader(store)
    for key, end in ((b"k", b""), (b"k", b"l"), (b"k", b"m")):
        store.watches.remove(reader.watch(key, end))
    StoreClient(store).put(b"k")
    assert reader.events == []
    assert vars(store.watches)["_groups"] == {}
