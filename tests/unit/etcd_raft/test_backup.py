"""Saved snapshots: the database file, what is in it, and a data directory made from it."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from etcd_raft import requests
from etcd_raft.__main__ import main
from etcd_raft.backup.bolt import PAGE, DatabaseError, Reader, Writer
from etcd_raft.backup.contents import Image, load
from etcd_raft.machine import StoreMachine
from etcd_raft.mvcc.hashing import hash_steps
from etcd_raft.ports import AppliedEntry
from etcd_raft.storage import Storage
from etcd_raft.wal import DiskFileSystem
from skiff_pb.etcd import rpc_pb2

CASES = [
    [],
    [(b"k", b"v")],
    [(b"%06d" % n, b"x" * (n % 700)) for n in range(3000)],  # several leaves
    [(b"%06d" % n + b"k" * 900, b"") for n in range(2000)],  # several levels of branches
    [(b"%03d" % n, bytes(200_000)) for n in range(10)],  # elements larger than a leaf
]


def written(writer: Writer) -> bytes:
    for _ in writer.measure():
        pass
    return b"".join(writer.chunks())


@pytest.mark.parametrize("items", CASES, ids=["empty", "one", "leaves", "branches", "large"])
def test_what_is_written_is_read(items: list[tuple[bytes, bytes]]) -> None:
    writer = Writer({b"z": lambda: items, b"a": lambda: [(b"1", b"2")]})
    data = written(writer)
    assert len(data) == writer.size
    assert len(data) % PAGE == 0
    reader = Reader(data)
    assert reader.buckets() == [b"a", b"z"]
    assert [(key, bytes(value)) for key, value in reader.items(b"z")] == items
    assert [(key, bytes(value)) for key, value in Reader(data).items(b"a")] == [(b"1", b"2")]


def test_damage_is_an_error_and_never_a_crash() -> None:
    data = written(Writer({b"k": lambda: [(b"%04d" % n, bytes(100)) for n in range(2000)]}))
    errors = 0
    for place in range(0, len(data), 997):
        bad = data[:place] + bytes([data[place] ^ 0xFF]) + data[place + 1 :]
        try:
            for _ in Reader(bad).items(b"k"):
                pass
        except DatabaseError:
            errors += 1
    assert errors > 2, "damaged trees are noticed; damaged values are for the checksum"
    with pytest.raises(DatabaseError, match="meta"):
        Reader(bytes(3 * PAGE))


class Store:
    """A state machine that is told what to do, without a log."""

    def __init__(self) -> None:
        self.machine = StoreMachine()

    def do(self, data: bytes) -> None:
        [result] = self.machine.apply([AppliedEntry(self.machine.applied_index + 1, 1, data)])
        assert not isinstance(result, Exception), result

    def put(self, key: bytes, value: bytes = b"v", lease: int = 0) -> None:
        self.do(requests.put(rpc_pb2.PutRequest(key=key, value=value, lease=lease)))

    def delete(self, key: bytes, range_end: bytes = b"") -> None:
        self.do(requests.delete_range(rpc_pb2.DeleteRangeRequest(key=key, range_end=range_end)))

    def compact(self, revision: int) -> None:
        self.do(requests.compact(rpc_pb2.CompactionRequest(revision=revision)))


def saved(machine: StoreMachine) -> bytes:
    image = Image(machine)
    for _ in image.prepare():
        pass
    data = b"".join(image.chunks())
    image.close()
    assert len(data) == image.size
    return data + hashlib.sha256(data).digest()


def filled() -> Store:
    store = Store()
    store.do(requests.own(requests.LeaseGrant(7, 600)))
    for number in range(30):
        store.put(b"k%02d" % (number % 12), b"%d" % number, lease=7 if number == 28 else 0)
    store.delete(b"k03")
    store.delete(b"k05", b"k08")
    store.put(b"k06", b"back")
    store.do(
        requests.own(requests.AuthChange("RoleAdd", rpc_pb2.AuthRoleAddRequest(name="r").SerializeToString())),
    )
    add = rpc_pb2.AuthUserAddRequest(name="u", hashedPassword="scrypt$hash")
    store.do(requests.own(requests.AuthChange("UserAdd", add.SerializeToString())))
    return store


@pytest.mark.parametrize("compacted", [0, 5, 31, 32, 33, 34])
def test_the_state_comes_back_whole(compacted: int) -> None:
    """Also when the newest change at the compacted revision was a deletion."""
    store = filled()
    store.do(requests.own(requests.Alarm(5, rpc_pb2.NOSPACE, True)))
    if compacted:
        store.compact(compacted)
    machine = store.machine
    found = load(Reader(saved(machine)[:-32]), 9)
    assert (found.space.revision, found.space.compacted) == (machine.space.revision, compacted)
    assert found.space.records(b"", b"") == machine.space.records(b"", b"")
    for revision in range(max(2, compacted), machine.space.revision + 1):
        for key in {record.key for record in machine.space.changes_since(0)}:
            assert found.space.at(key, revision) == machine.space.at(key, revision), (key, revision)
    assert found.space.history(max(2, compacted), 99) == machine.space.history(max(2, compacted), 99)
    assert list(hash_steps(found.space, 34))[-1] == list(hash_steps(machine.space, 34))[-1]
    assert found.leases.rows() == machine.leases.rows()
    assert found.leases.leases[7].keys == machine.leases.leases[7].keys
    assert (found.alarms, found.accounts.dump()) == (machine.alarms, machine.accounts.dump())
    assert found.applied_index == 9


def test_writes_and_compaction_meanwhile_are_not_in_it() -> None:
    store = filled()
    store.compact(20)
    image = Image(store.machine)
    revision, records = store.machine.space.revision, store.machine.space.records(b"", b"")
    for number in range(50):
        store.put(b"k%02d" % number, b"later")
    store.compact(70)
    for _ in image.prepare():
        pass
    chunks = image.chunks()
    first = next(chunks)
    store.delete(b"k", b"l")
    data = first + b"".join(chunks)
    image.close()
    found = load(Reader(data), 1)
    assert (found.space.revision, found.space.compacted) == (revision, 20)
    assert found.space.records(b"", b"") == records
    store.put(b"k", b"v")
    store.machine.space.prune(1000)
    assert not store.machine.space.must_prune, "history goes again once the image is closed"


def test_a_raised_revision_is_compacted_and_goes_on() -> None:
    store = filled()
    revision, records = store.machine.space.revision, store.machine.space.records(b"", b"")
    bumped = Store()
    bumped.machine = load(Reader(saved(store.machine)[:-32]), 1, bump=1000)
    space = bumped.machine.space
    assert (space.revision, space.compacted) == (revision + 1000, revision + 1000)
    assert space.records(b"", b"") == records
    bumped.put(b"new")
    again = load(Reader(saved(bumped.machine)[:-32]), 1).space
    assert (again.revision, again.compacted, again.live[b"new"].mod) == (
        revision + 1001,
        revision + 1000,
        again.revision,
    )
    through_the_log = StoreMachine()
    through_the_log.restore(bumped.machine.snapshot())
    assert through_the_log.space.revision == revision + 1001
    bumped.compact(revision + 1001)
    assert bumped.machine.space.at(b"k00", revision + 1001) is not None


def run(*arguments: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["etcd_raft", *arguments])
    main()


def test_a_data_directory_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    store = filled()
    file, folder = tmp_path / "saved", tmp_path / "m1"
    file.write_bytes(saved(store.machine))
    cluster = "--initial-cluster=m1=http://localhost:1,m2=http://localhost:2"
    own = ["--name=m1", "--initial-advertise-peer-urls=http://localhost:1", cluster]
    run("restore", str(file), f"--data-dir={folder}", *own, monkeypatch=monkeypatch)
    assert "restored revision 34 with 9 keys" in capsys.readouterr().out
    storage = Storage(DiskFileSystem(), str(folder))
    restart = storage.open()
    assert restart.snapshot is not None
    assert len(restart.meta.configuration.voters) == 2
    assert restart.hard_state.commit == restart.meta.index == 2
    machine = StoreMachine()
    machine.restore(storage.chunks(restart.snapshot))
    storage.close()
    assert machine.space.records(b"", b"") == store.machine.space.records(b"", b"")
    with pytest.raises(SystemExit):
        run("restore", str(file), f"--data-dir={folder}", *own, monkeypatch=monkeypatch)
    assert "exists already and is not empty" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("spoil", "flags", "sentence"),
    [
        (lambda data: data[:9000] + b"!" + data[9001:], [], "is damaged: its checksum does not fit"),
        (lambda data: data[:-600], [], "is no saved snapshot or an incomplete one"),
        (lambda data: data[:-32], [], "has no checksum"),
        (lambda data: bytes(8192) + hashlib.sha256(bytes(8192)).digest(), [], "holds no database of etcd"),
        (lambda data: data, ["--mark-compacted"], "go together"),
        (lambda data: data, ["--name=x", "--initial-cluster=a=http://localhost:1"], "does not name this member"),
    ],
)
def test_what_is_wrong_is_said_in_one_sentence(
    spoil: object,
    flags: list[str],
    sentence: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert callable(spoil)
    file = tmp_path / "saved"
    file.write_bytes(spoil(saved(filled().machine)))
    with pytest.raises(SystemExit):
        run("restore", str(file), f"--data-dir={tmp_path / 'new'}", *flags, monkeypatch=monkeypatch)
    said = capsys.readouterr().err
    assert sentence in said
    assert said.count("\n") == 1
    assert not (tmp_path / "new").exists()


def test_a_file_without_checksum_is_taken_when_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "db"
    file.write_bytes(saved(filled().machine)[:-32])
    run("restore", str(file), f"--data-dir={tmp_path / 'new'}", "--skip-hash-check", monkeypatch=monkeypatch)
    assert (tmp_path / "new" / "member" / "wal").is_dir()
    assert "9 keys" in capsys.readouterr().out
