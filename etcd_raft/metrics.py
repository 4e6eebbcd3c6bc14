"""The member's metrics, under etcd's names, so that its dashboards and alerts fit.

What the node tells as it happens goes into counters and histograms; what can be read off the node at any time is
collected only when somebody asks.
"""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from typing import Protocol

from prometheus_client import REGISTRY, CollectorRegistry, Counter
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from component_base import metrics
from etcd_raft.ports import NodeStatus

SLOW_APPLY_SECONDS = 0.1
DISK_BUCKETS = tuple(0.001 * 2**n for n in range(14))


class StatusSource(Protocol):
    def status(self) -> NodeStatus: ...


class MemberMetrics:
    """node.NodeMetrics and outgoing.TrafficMetrics at once."""

    def __init__(self, registry: CollectorRegistry = REGISTRY) -> None:
        self.registry = registry
        self._apply = metrics.histogram(
            "etcd_disk_backend_commit_duration_seconds",
            "Time that applying a batch of entries took; it is in memory here.",
            buckets=DISK_BUCKETS,
            registry=registry,
        )
        self._slow_applies = metrics.counter(
            "etcd_server_slow_apply_total", "Batches that took longer than 0.1 s to apply.", registry=registry
        )
        self._failed_reads = metrics.counter(
            "etcd_server_read_indexes_failed_total", "Linearizable reads that were refused.", registry=registry
        )
        self._beats_failed = metrics.counter(
            "etcd_server_heartbeat_send_failures_total", "Times that a peer could not be sent to.", registry=registry
        )
        self._received = metrics.counter(
            "etcd_network_peer_received_bytes_total", "Bytes received from peers.", ["From"], registry=registry
        )
        self._round_trip = metrics.histogram(
            "etcd_network_peer_round_trip_time_seconds",
            "From sending to a peer until it has said that it read it.",
            ["To"],
            buckets=tuple(0.0001 * 2**n for n in range(16)),
            registry=registry,
        )
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
        self.healthy = self.unhealthy = 0

    def watch(self, node: StatusSource) -> None:
        self.registry.register(_StatusCollector(node, self))

    def checked(self, is_healthy: bool) -> None:
        if is_healthy:
            self.healthy += 1
        else:
            self.unhealthy += 1

    def wal_synced(self, seconds: float) -> None:
        self._fsync.observe(seconds)

    def applied(self, seconds: float) -> None:
        self._apply.observe(seconds)
        if seconds > SLOW_APPLY_SECONDS:
            self._slow_applies.inc()

    def read_failed(self) -> None:
        self._failed_reads.inc()

    def received(self, peer: int, size: int) -> None:
        self._received.labels(f"{peer:x}").inc(size)

    def answered(self, peer: int, seconds: float) -> None:
        self._round_trip.labels(f"{peer:x}").observe(seconds)

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
        self._beats_failed.inc()


class _StatusCollector:
    def __init__(self, node: StatusSource, metrics: MemberMetrics) -> None:
        self._node = node
        self._metrics = metrics

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
            ("etcd_server_health_success", "Answers of /health that all is well.", self._metrics.healthy),
            ("etcd_server_health_failures", "Answers of /health that something is wrong.", self._metrics.unhealthy),
            ("os_fd_used", "Files that are open.", len(os.listdir("/proc/self/fd"))),
            ("os_fd_limit", "Files that may be open.", resource.getrlimit(resource.RLIMIT_NOFILE)[0]),
        ):
            yield GaugeMetricFamily(name, help, value=float(value))
        identity = GaugeMetricFamily("etcd_server_id", "This member's id.", labels=["server_id"])
        identity.add_metric([f"{status.member_id:x}"], 1.0)
        yield identity
        yield CounterMetricFamily("etcd_server_term", "The current term.", value=float(status.term))
