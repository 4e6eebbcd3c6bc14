"""A number by which members compare what they hold."""

from __future__ import annotations

import zlib
from collections.abc import Iterator

from etcd_raft.mvcc.keyspace import Keyspace

#: Keys between two pauses; a few milliseconds.
_SLICE = 5000


def hash_steps(space: Keyspace, revision: int) -> Iterator[int]:
    """The CRC of what a reader at `revision` sees and of the changes from compaction to there; the last item is it.

    The items before let the caller do something else in between. Changes after `revision` make no difference, so
    members may be asked at different moments.
    """
    compacted = space.compacted
    keys = set(space.live)
    history = list(space.changes_since(max(compacted - 1, 0)))
    keys.update(record.key for record in history)
    crc = 0
    for count, key in enumerate(sorted(keys)):
        record = space.at(key, revision)
        if record is not None:
            crc = zlib.crc32(record.field, crc)
        if count % _SLICE == 0:
            yield crc
    for record in history:
        if compacted < record.mod <= revision:
            crc = zlib.crc32(record.field, crc)
    yield crc
