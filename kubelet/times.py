"""Instants: seconds since the epoch inside the kubelet, RFC 3339 on the wire."""

from datetime import UTC, datetime


def parse(text: str) -> float:
    """Accepts what Kubernetes writes: whole or fractional seconds (up to nanoseconds) and Z or an offset."""
    if not text:
        return 0.0
    body = text.replace("Z", "+00:00")
    if "." in body:
        head, _, tail = body.partition(".")
        digits = ""
        while tail and tail[0].isdigit():
            digits, tail = digits + tail[0], tail[1:]
        body = f"{head}.{digits[:6].ljust(6, '0')}{tail}"
    return datetime.fromisoformat(body).timestamp()


def text(instant: float) -> str:
    """metav1.Time: whole seconds."""
    return datetime.fromtimestamp(int(instant), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def micro_text(instant: float) -> str:
    """metav1.MicroTime, as Leases carry it."""
    return datetime.fromtimestamp(instant, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def go_duration(seconds: float) -> str:
    """Go's shortest rendering of a duration: 850ms, 1.5s, 1m20s, 5m0s, 1h0m0s."""
    if seconds == 0:
        return "0s"
    if seconds < 1e-3:
        return f"{_trim(seconds * 1e6)}µs"
    if seconds < 1:
        return f"{_trim(seconds * 1e3)}ms"
    hours, rest = divmod(seconds, 3600)
    minutes, rest = divmod(rest, 60)
    out = f"{int(hours)}h" if hours else ""
    if hours or minutes:
        out += f"{int(minutes)}m"
    return out + f"{_trim(rest)}s"


def _trim(value: float) -> str:
    body = f"{value:.9f}".rstrip("0").rstrip(".")
    return body or "0"
