"""How often webhooks are asked, how long they take and how often they refuse, under upstream's metric names."""

from __future__ import annotations

from prometheus_client import Counter, Histogram

_LABELS = ("name", "type", "operation", "rejected")
_SECONDS = Histogram(
    "apiserver_admission_webhook_admission_duration_seconds",
    "From the question to the verdict",
    _LABELS,
    buckets=(0.005, 0.025, 0.1, 0.5, 1.0, 2.5, 10.0, 25.0),
)
_REQUESTS = Counter(
    "apiserver_admission_webhook_request", "Calls of webhooks", ("name", "type", "operation", "code", "rejected")
)
_REJECTIONS = Counter(
    "apiserver_admission_webhook_rejection_count",
    "Requests that webhooks, or their absence, ended",
    ("name", "type", "operation", "error_type", "rejection_code"),
)
FAIL_OPEN = Counter("apiserver_admission_webhook_fail_open_count", "Requests let pass unasked", ("name", "type"))


def observe(name: str, kind: str, operation: str, seconds: float, code: int, refused: str) -> None:
    """`refused` says by what, empty for a request that may go on."""
    rejected = "true" if refused else "false"
    _SECONDS.labels(name, kind, operation, rejected).observe(seconds)
    _REQUESTS.labels(name, kind, operation, str(code), rejected).inc()
    if refused:
        _REJECTIONS.labels(name, kind, operation, refused, str(code)).inc()
