"""Forgets old revisions of the store, five minutes after they were the newest.

Several apiservers may share a store: one key holds when it was last compacted, and who changes it does the work.
"""

from __future__ import annotations

import logging

from component_base.clock import Clock
from component_base.rpc import RpcError
from kubeclient.etcd3 import EtcdClient, RangeResult, compare, put_op, range_op

log = logging.getLogger(__name__)
KEY = b"compact_rev_key"


async def compact_for_ever(client: EtcdClient, clock: Clock, interval: float) -> None:
    turn, revision = 0, 0
    while True:
        await clock.sleep(interval)
        try:
            turn, revision = await compact_once(client, turn, revision)
        except RpcError as error:
            log.warning("compaction of the store: %s; trying again in %.0f s", error.message, interval)


async def compact_once(client: EtcdClient, turn: int, revision: int) -> tuple[int, int]:
    """Compact up to `revision` if nobody took this turn; returns the next turn and the revision to compact then."""
    result = await client.txn(
        [compare(KEY, "version", "=", turn)], [put_op(KEY, str(revision).encode())], [range_op(KEY)]
    )
    if not result.succeeded:
        found = result.responses[0]
        assert isinstance(found, RangeResult)
        return (found.kvs[0].version if found.kvs else 0), result.revision
    if revision:
        await client.compact(revision)
        log.info("compacted the store up to revision %d", revision)
    return turn + 1, result.revision
