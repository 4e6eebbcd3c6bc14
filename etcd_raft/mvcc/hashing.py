"""A number by which members compare what they hold."""

from __future__ import annotations

import zlib
from collections.abc import Iterator

from etcd_raft.mvcc.keyspace import Keyspace

#: Records between two pauses; a few milliseconds.
_SLICE = 5000


def hash_steps(space: Keyspace, revision: int) -> Iterator[int]:
    """A sum over what a reader at `revision` sees and over the changes from compaction to there; the last item is it.

    The items before let the caller do something else in between; it keeps the history pinned meanwhile. Changes after
    `revision` make no difference, so members may be asked at different moments. The order does not matter: the records
    carry their revisions.
    """
    compacted, now = space.compacted, space.revision
    live = list(space.live.values())
    before, after = space.history(compacted, revision), space.history(max(revision + 1, compacted), now)
    total = 0
    for count, record in enumerate(live):
        seen = record if record.mod <= revision else space.at(record.key, revision)
        if seen is not None:
            total += zlib.crc32(seen.field)
        if count % _SLICE == 0:
            yield total & 0xFFFFFFFF
    deleted: set[bytes] = set()
    for count, record in enumerate(record for changes in after for record in changes):
        if not record.version and record.key not in deleted and space.at(record.key, now) is None:
            deleted.add(record.key)
            seen = space.at(record.key, revision)
            total += zlib.crc32(seen.field) if seen is not None else 0
        if count % _SLICE == 0:
            yield total & 0xFFFFFFFF
    for count, record in enumerate(record for changes in before for record in changes):
        if record.mod > compacted:
            total += zlib.crc32(record.field, 1)
        if count % _SLICE == 0:
            yield total & 0xFFFFFFFF
    yield total & 0xFFFFFFFF
