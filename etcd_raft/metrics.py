"""The member's metrics, under etcd's names, so that its dashboards and alerts fit.

What the node tells as it happens goes into counters and histograms; what can be read off the node at any time is
collected only when somebody asks.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from prometheus_client import REGISTRY, CollectorRegistry, Counter
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from component_base import metrics
from etcd_raft.ports import NodeStatus

DISK_BUCKETS = tuple(0.001 * 2**n for n in range(14))


class StatusSource(Protocol):
    def status(self) -> NodeStatus: ...


class MemberMetrics:
    """node.NodeMetrics and outgoing.TrafficMetrics at once."""

    def __init__(self, registry: CollectorRegistry = REGISTRY) -> None:
        self.registry = registry
        self._fsync = metrics.histogram(
            "etcd_disk_wal_fsync_duration_seconds",
            "Time that writing and syncing the write-ahead log took.",
            buckets=DISK_BUCKETS,
            registry=registry,
        )
        self._failed = metrics.counter(
            "etcd_server_proposals_failed_total", "Proposals that were refused or timed out.", registry=registry
        )
        self._leaders = metrics.counter(
            "etcd_server_leader_changes_seen_total", "Leaders seen by this member.", registry=registry
        )
        self._sent = metrics.counter(
            "etcd_network_peer_sent_bytes_total", "Bytes sent to peers.", ["To"], registry=registry
        )
        self._send_failures = metrics.counter(
            "etcd_network_peer_sent_failures_total", "Times that sending to a peer failed.", ["To"], registry=registry
        )

        self._sent_to: dict[int, Counter] = {}

    def watch(self, node: StatusSource) -> None:
        self.registry.register(_StatusCollector(node))

    def wal_synced(self, seconds: float) -> None:
        self._fsync.observe(seconds)

    def proposal_failed(self) -> None:
        self._failed.inc()

    def leader_changed(self) -> None:
        self._leaders.inc()

    def sent(self, peer: int, size: int) -> None:
        counter = self._sent_to.get(peer)
        if counter is None:
            counter = self._sent_to[peer] = self._sent.labels(f"{peer:x}")
        counter.inc(size)

    def send_failed(self, peer: int) -> None:
        self._send_failures.labels(f"{peer:x}").inc()


class _StatusCollector:
    def __init__(self, node: StatusSource) -> None:
        self._node = node

    def collect(self) -> Iterator[Metric]:
        status = self._node.status()
        leads = status.leader_id == status.member_id
        for name, help, value in (
            ("etcd_server_has_leader", "1 if a leader is known.", status.leader_id != 0),
            ("etcd_server_is_leader", "1 if this member leads.", leads),
            ("etcd_server_is_learner", "1 if this member is a learner.", status.is_learner),
            ("etcd_server_proposals_committed_total", "Index of the last committed entry.", status.committed_index),
            ("etcd_server_proposals_applied_total", "Index of the last applied entry.", status.applied_index),
            ("etcd_server_proposals_pending", "Proposals that wait.", status.pending_proposals),
            ("etcd_server_health_failures", "1 if the member has failed.", status.has_failed),
        ):
            yield GaugeMetricFamily(name, help, value=float(value))
        identity = GaugeMetricFamily("etcd_server_id", "This member's id.", labels=["server_id"])
        identity.add_metric([f"{status.member_id:x}"], 1.0)
        yield identity
        yield CounterMetricFamily("etcd_server_term", "The current term.", value=float(status.term))
