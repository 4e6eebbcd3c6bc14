"""Prometheus metrics of one process: counters, gauges and histograms in one registry, and its text."""

from __future__ import annotations

from collections.abc import Sequence

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    REGISTRY,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
)

CONTENT_TYPE = CONTENT_TYPE_LATEST
#: Seconds, from a fast read to a slow list.
LATENCY_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)


def counter(name: str, help: str, labels: Sequence[str] = (), registry: CollectorRegistry = REGISTRY) -> Counter:
    return Counter(name, help, labels, registry=registry)


def gauge(name: str, help: str, labels: Sequence[str] = (), registry: CollectorRegistry = REGISTRY) -> Gauge:
    return Gauge(name, help, labels, registry=registry)


def histogram(
    name: str,
    help: str,
    labels: Sequence[str] = (),
    buckets: Sequence[float] = LATENCY_BUCKETS,
    registry: CollectorRegistry = REGISTRY,
) -> Histogram:
    return Histogram(name, help, labels, buckets=buckets, registry=registry)


def exposition(registry: CollectorRegistry = REGISTRY) -> bytes:
    return generate_latest(registry)
