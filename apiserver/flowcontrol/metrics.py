"""Flow control in numbers, under upstream's metric names; made from plain counters when somebody asks."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric, SummaryMetricFamily
from prometheus_client.registry import Collector

from apiserver.flowcontrol.allocation import Seats
from apiserver.flowcontrol.configuration import Configuration
from apiserver.flowcontrol.queues import Level

_PREFIX = "apiserver_flowcontrol_"
_BY_LEVEL = ["priority_level"]
_BY_SCHEMA = ["priority_level", "flow_schema"]
_LIMITS: dict[str, Callable[[Seats], int]] = {
    "nominal_limit_seats": lambda seats: seats.nominal,
    "lower_limit_seats": lambda seats: seats.least,
    "upper_limit_seats": lambda seats: seats.most,
}
_NOW: dict[str, Callable[[Level], int]] = {
    "current_limit_seats": lambda level: level.limit or 0,
    "current_executing_seats": lambda level: level.seats_executing,
    "current_executing_requests": lambda level: level.executing,
    "current_inqueue_requests": lambda level: level.waiting,
    "current_inqueue_seats": lambda level: level.seats_waiting,
    "demand_seats_high_watermark": lambda level: level.demand.highest,
}


class FlowMetrics(Collector):
    def __init__(self, configuration: Configuration) -> None:
        self._configuration = configuration

    def collect(self) -> Iterator[Metric]:
        configuration = self._configuration
        for name, of_seats in _LIMITS.items():
            gauge = GaugeMetricFamily(_PREFIX + name, "Seats by configuration", labels=_BY_LEVEL)
            for level, seats in configuration.seats.items():
                gauge.add_metric([level], of_seats(seats))
            yield gauge
        for name, of_level in _NOW.items():
            gauge = GaugeMetricFamily(_PREFIX + name, "Seats and requests at present", labels=_BY_LEVEL)
            for name_of_level, level_now in configuration.levels.items():
                gauge.add_metric([name_of_level], of_level(level_now))
            yield gauge
        dispatched = CounterMetricFamily(f"{_PREFIX}dispatched_requests", "Requests let through", labels=_BY_SCHEMA)
        rejected = CounterMetricFamily(
            f"{_PREFIX}rejected_requests", "Requests refused", labels=[*_BY_SCHEMA, "reason"]
        )
        waits = SummaryMetricFamily(
            f"{_PREFIX}request_wait_duration_seconds", "Time in queues, of those that waited", labels=_BY_SCHEMA
        )
        runs = SummaryMetricFamily(f"{_PREFIX}request_execution_seconds", "Time with a seat", labels=_BY_SCHEMA)
        for key, counts in configuration.counts.items():
            dispatched.add_metric([*key], counts.dispatched)
            for reason, count in counts.rejected.items():
                rejected.add_metric([*key, reason], count)
            waits.add_metric([*key], int(counts.waits[0]), counts.waits[1])
            runs.add_metric([*key], int(counts.runs[0]), counts.runs[1])
        yield from (dispatched, rejected, waits, runs)
