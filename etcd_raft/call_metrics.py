"""What clients ask of this member, under the names of grpc's own metrics and etcd's, read off the host's counters."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, Metric

from component_base.http2.host import HostedMethod, Http2Host
from component_base.rpc import Code

_LABELS = ("grpc_type", "grpc_service", "grpc_method")


def code_name(code: Code) -> str:
    """As grpc's libraries spell it: DEADLINE_EXCEEDED -> DeadlineExceeded, but Canceled and OK."""
    if code is Code.OK:
        return "OK"
    return "Canceled" if code is Code.CANCELLED else code.name.title().replace("_", "")


def _identity(method: HostedMethod) -> tuple[str, str, str]:
    kinds = {(False, False): "unary", (True, False): "client_stream", (False, True): "server_stream"}
    _, service, name = method.path.split("/")
    return kinds.get((method.streams_in, method.streams_out), "bidi_stream"), service, name


class CallCollector:
    """Register it with a prometheus registry."""

    def __init__(self, host: Http2Host) -> None:
        self._host = host

    def collect(self) -> Iterator[Metric]:
        started = CounterMetricFamily("grpc_server_started", "Calls begun.", labels=_LABELS)
        handled = CounterMetricFamily("grpc_server_handled", "Calls ended.", labels=(*_LABELS, "grpc_code"))
        received = CounterMetricFamily("grpc_server_msg_received", "Messages received in calls.", labels=_LABELS)
        sent = CounterMetricFamily("grpc_server_msg_sent", "Messages sent in calls.", labels=_LABELS)
        for method in self._host.methods.values():
            identity = _identity(method)
            started.add_metric(identity, method.started)
            received.add_metric(identity, method.received)
            sent.add_metric(identity, method.sent)
            for code, count in sorted(method.handled.items()):
                handled.add_metric((*identity, code_name(code)), count)
        yield from (started, handled, received, sent)
        bytes_received, bytes_sent = self._host.traffic()
        for name, help, value in (
            ("etcd_network_client_grpc_received_bytes", "Bytes received from clients.", bytes_received),
            ("etcd_network_client_grpc_sent_bytes", "Bytes sent to clients.", bytes_sent),
        ):
            yield CounterMetricFamily(name, help, value=value)
        requests = CounterMetricFamily(
            "etcd_server_client_requests", "Calls by kind.", labels=("type", "client_api_version")
        )
        for kind, streams in (("unary", False), ("stream", True)):
            methods = (m for m in self._host.methods.values() if (m.streams_in or m.streams_out) is streams)
            requests.add_metric((kind, "3.6"), sum(method.started for method in methods))
        yield requests
