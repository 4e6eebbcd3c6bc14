"""What etcd keeps in which bucket of its database, and the store's state in those terms.

    key          revision (main u64, `_`, sub u64, `t` for a deletion) -> KeyValue
    lease        id u64 -> Lease                     alarm      AlarmMember -> nothing
    auth         authEnabled, authRevision           authUsers, authRoles   name -> User, Role
    meta         compaction and version              members, members_removed, cluster   left to whoever restores

All numbers are big-endian. Password hashes are this store's own kind; in etcd its users need new
passwords, and etcd's users need new ones here.
"""

from __future__ import annotations

import heapq
import itertools
import struct
from collections.abc import Iterable, Iterator
from operator import attrgetter
from typing import Final

from etcd_raft.auth.accounts import Dump, Permission, Role, User
from etcd_raft.backup.bolt import DatabaseError, Items, Reader, Writer
from etcd_raft.lease.table import LeaseRow
from etcd_raft.machine import Loaded, StoreMachine
from etcd_raft.mvcc.dump import overwritten
from etcd_raft.mvcc.keyspace import Keyspace, Record
from etcd_raft.mvcc.wire import decode_kv, encode_kv, encode_tombstone, number, sized
from skiff_pb.etcd import auth_pb2, kv_pb2, lease_pb2, rpc_pb2

STORAGE_VERSION: Final = b"3.6.0"
_REVISION = struct.Struct(">QcQ")
_U64 = struct.Struct(">Q")
#: Records sorted at once, and looked at between two pauses.
_SLICE: Final = 5000


def _revision_key(main: int, sub: int, is_deletion: bool = False) -> bytes:
    return _REVISION.pack(main, b"_", sub) + (b"t" if is_deletion else b"")


class Image:
    """The state as of its making, as a database file; history is kept until `close`."""

    def __init__(self, store: StoreMachine) -> None:
        self._space = space = store.space
        space.pin()
        self._compacted = space.compacted
        self._live = list(space.live.values())
        self._log = space.history(space.compacted, space.revision)
        self._first = max(space.compacted, 2)
        self._base: list[Record] = []
        self._writer = Writer(
            {
                b"alarm": list(_alarms(store)).copy,
                b"auth": list(_auth(store.accounts.dump())).copy,
                b"authRoles": sorted(_roles(store.accounts.dump())).copy,
                b"authUsers": sorted(_users(store.accounts.dump())).copy,
                b"cluster": [(b"clusterVersion", STORAGE_VERSION)].copy,
                b"key": self._keys,
                b"lease": sorted(_leases(store.leases.rows())).copy,
                b"members": list[tuple[bytes, bytes]]().copy,
                b"members_removed": list[tuple[bytes, bytes]]().copy,
                b"meta": list(_meta(self._compacted)).copy,
            }
        )

    def close(self) -> None:
        self._space.unpin()

    def prepare(self) -> Iterator[None]:
        """Yields every few milliseconds; `size` and `chunks` are there once it has ended."""
        runs: list[list[Record]] = []
        source = itertools.chain(self._older_live(), overwritten(self._space, self._log, self._compacted))
        by_revision = attrgetter("mod", "key")
        while run := list(itertools.islice(source, _SLICE)):
            runs.append(sorted((record for record in run if record is not None), key=by_revision))
            yield
        for record in heapq.merge(*runs, key=by_revision):
            self._base.append(record)
            if len(self._base) % _SLICE == 0:
                yield
        yield from self._writer.measure()

    @property
    def size(self) -> int:
        return self._writer.size

    def chunks(self) -> Iterator[bytes]:
        return self._writer.chunks()

    def _older_live(self) -> Iterator[Record | None]:
        return (record if record.mod < self._compacted else None for record in self._live)

    def _keys(self) -> Items:
        for main, group in itertools.groupby(self._base, attrgetter("mod")):
            for sub, record in enumerate(group):
                yield _revision_key(main, sub), _message(record)
        for main, changes in enumerate(self._log, self._first):
            if not changes:  # A revision that nothing was written at; see `_load`.
                yield _revision_key(main, 0), b""
            for sub, record in enumerate(changes):
                yield _revision_key(main, sub, not record.version), _message(record)


def _message(record: Record) -> bytes:
    if not record.version:
        return sized(b"\x0a", record.key)
    field, start = record.field, 1
    while field[start] > 127:
        start += 1
    return field[start + 1 :]


def _alarms(store: StoreMachine) -> Items:
    for member, kind in sorted(store.alarms):
        yield number(b"\x08", member) + number(b"\x10", kind), b""


def _auth(dump: Dump) -> Items:
    yield b"authEnabled", bytes([dump.is_enabled])
    yield b"authRevision", _U64.pack(dump.revision)


def _users(dump: Dump) -> Items:
    for user in dump.users:
        options = auth_pb2.UserAddOptions(no_password=not user.password)
        message = auth_pb2.User(
            name=user.name.encode(), password=user.password.encode(), roles=user.roles, options=options
        )
        yield user.name.encode(), message.SerializeToString()


def _roles(dump: Dump) -> Items:
    for role in dump.roles:
        granted = [
            auth_pb2.Permission(permType=auth_pb2.Permission.Type.Name(p.kind), key=p.key, range_end=p.range_end)
            for p in role.permissions
        ]
        message = auth_pb2.Role(name=role.name.encode(), keyPermission=granted)
        yield role.name.encode(), message.SerializeToString()


def _leases(rows: Iterable[LeaseRow]) -> Items:
    for row in rows:
        message = lease_pb2.Lease(ID=row.id, TTL=row.ttl, RemainingTTL=row.remaining)
        yield _U64.pack(row.id & 0xFFFFFFFFFFFFFFFF), message.SerializeToString()


def _meta(compacted: int) -> Items:
    yield b"consistent_index", _U64.pack(1)
    if compacted:
        yield b"finishedCompactRev", _revision_key(compacted, 0)
        yield b"scheduledCompactRev", _revision_key(compacted, 0)
    yield b"storageVersion", STORAGE_VERSION
    yield b"term", _U64.pack(1)


# Back again


def load(database: Reader, applied_index: int, bump: int = 0) -> StoreMachine:
    """The state in a database of this store or of etcd. Raises DatabaseError.

    `bump` adds that many revisions, in which nothing was written, and calls everything up to there compacted: clients
    that have seen later revisions than the snapshot's cannot miss that there is a gap.
    """
    if b"key" not in database.buckets():
        raise DatabaseError("it has no bucket `key`, as every database of etcd has")
    machine = StoreMachine()
    space = _keyspace(database, bump)
    machine.become(Loaded(space, applied_index, _lease_rows(database), _alarm_set(database), _accounts(database)))
    return machine


def _compaction(database: Reader) -> int:
    meta = dict(database.items(b"meta"))
    marks = (meta[name] for name in (b"finishedCompactRev", b"scheduledCompactRev") if name in meta)
    return max((_U64.unpack_from(mark)[0] for mark in marks), default=0)


def _keyspace(database: Reader, bump: int) -> Keyspace:
    compacted = _compaction(database)
    base: dict[bytes, Record] = {}
    later: list[list[Record]] = []
    newest = max(compacted, 1)
    for key, value in database.items(b"key"):
        newest, record = _record(key, bytes(value))
        if record is None:
            continue
        if newest < max(compacted, 2):
            _overwrite(base, record)
        elif later and later[-1][0].mod == newest:
            later[-1].append(record)
        else:
            later.append([record])
    if bump:
        for record in (record for changes in later for record in changes):
            _overwrite(base, record)
        compacted, later = max(compacted, newest) + bump, []
    space = Keyspace()
    space.load(base.values(), compacted)
    try:
        for changes in later:
            space.replay(tuple(changes))
    except ValueError as problem:
        raise DatabaseError(str(problem)) from None
    if space.revision < compacted:
        space.skip()
    return space


def _overwrite(base: dict[bytes, Record], record: Record) -> None:
    base.pop(record.key, None)
    if record.version:
        base[record.key] = record


def _record(key: bytes, value: bytes) -> tuple[int, Record | None]:
    if len(key) not in (17, 18):
        raise DatabaseError("a key in its bucket `key` is no revision")
    main = _REVISION.unpack_from(key)[0]
    if not value:
        return main, None
    kv = kv_pb2.KeyValue.FromString(value)
    if len(key) == 18:
        return main, Record(kv.key, encode_tombstone(kv.key, main), 0, main, 0, 0)
    field = sized(b"\x12", value)
    if kv.mod_revision != main:
        field = encode_kv(kv.key, kv.value, kv.create_revision, main, kv.version, kv.lease)
    create = main if kv.create_revision == main else kv.create_revision
    return main, Record(decode_kv(field).key, field, create, main, kv.version, kv.lease)


def _lease_rows(database: Reader) -> list[LeaseRow]:
    found = (lease_pb2.Lease.FromString(bytes(value)) for _, value in database.items(b"lease"))
    return [LeaseRow(lease.ID, lease.TTL, lease.RemainingTTL) for lease in found]


def _alarm_set(database: Reader) -> set[tuple[int, int]]:
    found = (rpc_pb2.AlarmMember.FromString(key) for key, _ in database.items(b"alarm"))
    return {(member.memberID, int(member.alarm)) for member in found}


def _accounts(database: Reader) -> Dump:
    auth = {key: bytes(value) for key, value in database.items(b"auth")}
    users = [auth_pb2.User.FromString(bytes(value)) for _, value in database.items(b"authUsers")]
    roles = [auth_pb2.Role.FromString(bytes(value)) for _, value in database.items(b"authRoles")]
    return Dump(
        auth.get(b"authEnabled") == b"\x01",
        _U64.unpack(auth.get(b"authRevision", _U64.pack(1)))[0],
        [User(user.name.decode(), user.password.decode(), list(user.roles)) for user in users],
        [
            Role(
                role.name.decode(),
                [Permission(int(p.permType), p.key, p.range_end) for p in role.keyPermission],
            )
            for role in roles
        ],
    )
