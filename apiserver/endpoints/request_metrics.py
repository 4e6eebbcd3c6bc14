"""Counts and latencies of requests under upstream's metric names.

Requests are counted in plain dictionaries, and turned into Prometheus' types only when somebody asks.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator

from prometheus_client.core import REGISTRY, CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from apiserver.endpoints.path import Target
from component_base.metrics import LATENCY_BUCKETS

_VERBS = {"get": "GET", "list": "LIST", "watch": "WATCH", "create": "POST", "update": "PUT", "patch": "PATCH"}
_VERBS |= {"delete": "DELETE", "deletecollection": "DELETECOLLECTION", "post": "POST", "put": "PUT", "head": "HEAD"}
Key = tuple[str, str, str, str, str, str]
_counts: dict[tuple[Key, int], int] = {}
_buckets: dict[Key, list[int]] = {}
_sums: dict[Key, float] = {}
#: Names of paths are the client's: only this many different ones are told apart.
MAX_KEYS = 5000


def record(target: Target, status: int, seconds: float) -> None:
    scope = "" if not target.resource else "resource" if target.name else "namespace" if target.namespace else "cluster"
    key = (
        _VERBS.get(target.verb, "other"),
        target.group,
        target.version,
        target.resource,
        target.subresource,
        scope,
    )
    if key not in _buckets:
        if len(_buckets) >= MAX_KEYS or status == 404:
            return
        _buckets[key], _sums[key] = [0] * (len(LATENCY_BUCKETS) + 1), 0.0
    _counts[key, status] = _counts.get((key, status), 0) + 1
    if target.verb == "watch":
        return
    _buckets[key][bisect_left(LATENCY_BUCKETS, seconds)] += 1
    _sums[key] += seconds


class _Requests(Collector):
    def collect(self) -> Iterator[Metric]:
        labels = ["verb", "group", "version", "resource", "subresource", "scope"]
        total = CounterMetricFamily(
            "apiserver_request", "Requests by what they asked and got", labels=[*labels, "code"]
        )
        for (key, status), count in _counts.items():
            total.add_metric([*key, str(status)], count)
        yield total
        duration = HistogramMetricFamily(
            "apiserver_request_duration_seconds", "From the request's head to the end of its answer", labels=labels
        )
        for key, counts in _buckets.items():
            running, cumulative = 0, []
            for bound, count in zip((*map(str, LATENCY_BUCKETS), "+Inf"), counts, strict=True):
                running += count
                cumulative.append((bound, float(running)))
            duration.add_metric(list(key), cumulative, _sums[key])
        yield duration


REGISTRY.register(_Requests())
