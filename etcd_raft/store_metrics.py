"""What the store holds, under etcd's metric names, read off the state when somebody asks."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from etcd_raft.machine import StoreMachine
from etcd_raft.server.access import Limits
from etcd_raft.server.maintenance import API_VERSION


class StoreCollector:
    """Register it with a prometheus registry."""

    def __init__(self, store: StoreMachine, limits: Limits) -> None:
        self._store = store
        self._quota = limits.quota

    def collect(self) -> Iterator[Metric]:
        space = self._store.space
        quota = 0.0 if self._quota == float("inf") else self._quota
        for name, text, value in (
            ("etcd_mvcc_db_total_size_in_bytes", "Bytes of all keys and their history.", space.size),
            ("etcd_mvcc_db_total_size_in_use_in_bytes", "The same: nothing waits to be given back.", space.size),
            ("etcd_debugging_mvcc_db_total_size_in_bytes", "Its name in older dashboards.", space.size),
            ("etcd_server_quota_backend_bytes", "Bytes beyond which the store refuses to grow.", quota),
            ("etcd_debugging_mvcc_keys_total", "Keys that exist.", len(space.live)),
            ("etcd_debugging_mvcc_current_revision", "The newest revision.", space.revision),
            ("etcd_debugging_mvcc_compact_revision", "The oldest revision that can be read.", space.compacted),
            ("etcd_debugging_mvcc_watcher_total", "Watches that are up to date.", self._store.watches.current_count),
            ("etcd_debugging_lease_total", "Leases that exist.", len(self._store.leases.leases)),
        ):
            yield GaugeMetricFamily(name, text, value=float(value))
        for name, text, value in (
            ("etcd_mvcc_put", "Keys written.", space.puts),
            ("etcd_mvcc_delete", "Keys deleted.", space.deletes),
            ("etcd_mvcc_range", "Ranges read.", space.ranges),
            ("etcd_mvcc_txn", "Transactions applied.", self._store.txns),
            ("etcd_debugging_mvcc_put", "Its name in older dashboards.", space.puts),
            ("etcd_debugging_mvcc_delete", "Its name in older dashboards.", space.deletes),
            ("etcd_debugging_mvcc_range", "Its name in older dashboards.", space.ranges),
            ("etcd_debugging_mvcc_txn", "Its name in older dashboards.", self._store.txns),
            ("etcd_debugging_lease_granted", "Leases granted.", self._store.leases.granted),
            ("etcd_debugging_lease_revoked", "Leases revoked or expired.", self._store.leases.revoked),
        ):
            yield CounterMetricFamily(name, text, value=float(value))
        cluster = GaugeMetricFamily("etcd_cluster_version", "The API of all members.", labels=["cluster_version"])
        cluster.add_metric([API_VERSION.rpartition(".")[0]], 1.0)
        yield cluster
        version = GaugeMetricFamily("etcd_server_version", "The API that is served.", labels=["server_version"])
        version.add_metric([API_VERSION], 1.0)
        yield version
