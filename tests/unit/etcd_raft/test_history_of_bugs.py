"""Bugs that other stores have shipped, by the number of their issue: the story of each, told to ours.

etcd 13766, 14370, 15271, 17529, 17780, 18089, 19179, 20221 and PySyncObj 202.
"""

from __future__ import annotations

from component_base.rng import seeded
from etcd_raft import requests
from etcd_raft.machine import StoreMachine
from etcd_raft.ports import AppliedEntry, Member
from etcd_raft.raft import Kind, Message, RaftConfig
from etcd_raft.replica import Replica
from etcd_raft.storage import Storage
from etcd_raft.wal import Identity
from skiff_pb.etcd import rpc_pb2
from tests.sim.disk import SimulatedDisk
from tests.unit.etcd_raft.members import Crew
from tests.unit.etcd_raft.mvcc.store_client import PREFIX_END, Reader, StoreClient


def test_etcd_13766_a_crash_between_applying_and_saving_leaves_members_alike() -> None:
    """What is applied and how far it is applied were saved apart; after a crash some entries were skipped."""
    whole, part = StoreClient(), StoreClient()
    puts = [requests.put(rpc_pb2.PutRequest(key=b"k%d" % n, value=b"v")) for n in range(6)]
    whole.apply(*puts)
    part.apply(*puts[:3])
    restored = StoreMachine()
    restored.restore(part.store.snapshot())
    assert restored.applied_index == 3
    restored.apply([AppliedEntry(n + 1, 1, puts[n]) for n in range(restored.applied_index, 6)])
    assert restored.space.revision == whole.revision
    assert restored.space.live == whole.store.space.live


async def test_etcd_14370_a_lone_member_answers_only_what_is_on_disk() -> None:
    """With nobody to wait for, the answer overtook the sync, and a power cut took the write."""
    async with Crew(1) as crew:
        syncs = crew.disks[1].syncs
        await crew.leader.propose(b"kept")
        assert crew.disks[1].syncs > syncs
        await crew.stop(1)
        crew.disks[1].crash(seeded(1))
        crew.start(1)
        await crew.pass_time(3.0)
        assert b"kept" in crew.machines[1].lines


def test_etcd_15271_a_watch_does_not_travel_back_in_time_when_a_snapshot_is_installed() -> None:
    behind, ahead = StoreClient(), StoreClient()
    for client, count in ((behind, 3), (ahead, 9)):
        for n in range(count):
            client.put(b"k", b"%d" % n)
    reader = Reader(behind.store)
    reader.watch(b"k")
    behind.put(b"k", b"3")
    behind.store.restore(ahead.store.snapshot())
    reader.catch_up()
    revisions = [revision for _, _, revision in reader.events]
    assert revisions == list(range(5, 11))


def test_etcd_17529_a_starved_stream_loses_no_event() -> None:
    """What a full stream had refused was forgotten when more changes came before it was caught up."""
    client = StoreClient()
    reader = Reader(client.store, room=2)
    reader.watch(b"k", PREFIX_END)
    for n in range(5):
        puts = [rpc_pb2.RequestOp(request_put=rpc_pb2.PutRequest(key=b"k%d" % m, value=b"%d" % n)) for m in range(3)]
        client.txn(success=puts)
    assert reader.behind
    batch = client.store.watches.catch_up(reader.watcher, revisions=1, size=1)
    assert batch is not None
    assert {record.mod for record in batch.records} == {4}, "one revision, whole, goes on where the stream was full"
    client.put(b"k0", b"in between")
    reader.room = 100
    reader.catch_up(revisions=1)
    client.put(b"k0", b"after")
    assert [revision for _, _, revision in reader.events] == [2] * 3 + [3] * 3 + [5] * 3 + [6] * 3 + [7, 8]


def test_etcd_17780_the_revision_never_decreases_although_its_change_is_compacted() -> None:
    """The newest revision was a deletion that compaction took; after a crash the store counted from the one before."""
    client = StoreClient()
    client.put(b"k")
    client.put(b"k")
    client.delete(b"k")
    client.compact(4)
    client.store.space.prune(100)
    restored = StoreMachine()
    restored.restore(client.store.snapshot())
    assert restored.space.revision == 4
    assert StoreClient(restored).txn(success=[]).succeeded
    StoreClient(restored).put(b"k")
    assert restored.space.revision == 5


def _deleted_at_5() -> StoreClient:
    client = StoreClient()
    for value in (b"2", b"3", b"4"):
        client.put(b"k", value)
    client.delete(b"k")
    client.put(b"k", b"6")
    return client


def test_etcd_18089_a_watch_from_the_compacted_revision_sees_its_deletion() -> None:
    client = _deleted_at_5()
    client.compact(5)
    client.store.space.prune(100)
    reader = Reader(client.store)
    reader.watch(b"k", start=5)
    reader.catch_up()
    assert reader.events == [("DELETE", b"k", 5), ("PUT", b"k", 6)]


def test_etcd_19179_the_same_after_a_crash_in_the_middle_of_compaction() -> None:
    client = _deleted_at_5()
    client.compact(5)
    client.store.space.prune(1)
    restored = StoreMachine()
    restored.restore(client.store.snapshot())
    reader = Reader(restored)
    reader.watch(b"k", start=5)
    reader.catch_up()
    assert reader.events == [("DELETE", b"k", 5), ("PUT", b"k", 6)]


def test_etcd_20221_a_watch_from_the_future_hears_nothing_of_before_when_a_snapshot_is_installed() -> None:
    behind, ahead = StoreClient(), StoreClient()
    behind.put(b"k", b"0")
    for n in range(8):
        ahead.put(b"k", b"%d" % n)
    reader = Reader(behind.store)
    reader.watch(b"k", start=7)
    behind.store.restore(ahead.store.snapshot())
    reader.catch_up()
    assert [revision for _, _, revision in reader.events] == [7, 8, 9]
    far = Reader(behind.store)
    far.watch(b"k", start=50)
    behind.store.restore(ahead.store.snapshot())
    StoreClient(behind.store).put(b"k", b"later")
    assert far.events == []


def test_pysyncobj_202_term_and_vote_survive_the_restart_of_everybody() -> None:
    """All terms began at 0 again, so that an old log seemed newer than what was committed since."""
    disk, founders = SimulatedDisk(), [Member(n, "", (f"http://m{n}:1",), ()) for n in (1, 2, 3)]
    storage = Storage(disk, "/data", 64 * 1024)
    replica = _replica(storage, storage.create(Identity(1, 1), founders))
    _work(replica)
    replica.step(Message(Kind.VOTE, 1, 2, term=7, log_term=9, index=9))
    _work(replica)
    disk.crash(seeded(1))
    storage = Storage(disk, "/data", 64 * 1024)
    again = _replica(storage, storage.open(founders))
    assert (again.raw.raft.term, again.raw.raft.vote) == (7, 2)


def _replica(storage: Storage, restart: object) -> Replica:
    return Replica(RaftConfig(member_id=1), seeded(1), storage, restart, StoreMachine())  # type: ignore[arg-type]


def _work(replica: Replica) -> None:
    while (ready := replica.begin()) is not None:
        replica.persist(ready)
        replica.apply(ready)
        replica.finish(ready)
