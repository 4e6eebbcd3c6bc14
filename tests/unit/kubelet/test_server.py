"""The HTTPS API's decisions: permissions, log lines, the request that is passed on."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import pytest

from component_base.clock import SystemClock
from kubelet.server import access
from kubelet.server.app import Refused, log_options
from kubelet.server.front import Guard, answer
from kubelet.server.logs import LineFilter, LogOptions, read_log, tail_offset
from kubelet.server.splice import request_head
from kubelet.server.stats import ContainerUse, Sample, resource_metrics, summary
from serving.delegated import ResourceAttributes, User

LINES = [
    b"2026-01-01T00:00:01.5Z stdout F one\n",
    b"2026-01-01T00:00:02Z stderr F two\n",
    b"2026-01-01T00:00:03Z stdout P thr\n",
    b"2026-01-01T00:00:03Z stdout F ee\n",
    b"2026-01-01T00:00:04Z stdout F four\n",
]


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/stats/summary", ["stats"]),
        ("/metrics", ["metrics"]),
        ("/metrics/cadvisor", ["metrics"]),
        ("/logs/x", ["log"]),
        ("/healthz", ["healthz", "proxy"]),
        ("/pods", ["pods", "proxy"]),
        ("/runningpods/", ["pods", "proxy"]),
        ("/configz", ["configz", "proxy"]),
        ("/exec/ns/p/c", ["proxy"]),
        ("/metricsx", ["proxy"]),
    ],
)
def test_which_subresource_allows_a_path(path: str, expected: list[str]) -> None:
    assert access.subresources(path) == expected


@pytest.mark.parametrize(("method", "verb"), [("GET", "get"), ("POST", "create"), ("DELETE", "delete")])
def test_verbs(method: str, verb: str) -> None:
    assert access.verb(method) == verb


def converted(options: LogOptions) -> bytes:
    chosen = LineFilter(options)
    return b"".join(chosen.convert(line) for line in LINES)


def test_log_lines_are_joined_stamped_filtered_and_cut() -> None:
    assert converted(LogOptions()) == b"one\ntwo\nthree\nfour\n"
    assert converted(LogOptions(stream="Stderr")) == b"two\n"
    assert converted(LogOptions(timestamps=True)).startswith(b"2026-01-01T00:00:01.5Z one\n")
    assert b"2026-01-01T00:00:03Z three\n" in converted(LogOptions(timestamps=True))
    assert converted(LogOptions(limit=6)) == b"one\ntw"
    assert converted(LogOptions(since=1767225603.0)) == b"three\nfour\n"


@pytest.mark.parametrize(
    ("lines", "expected"), [(0, b""), (1, LINES[-1]), (2, b"".join(LINES[-2:])), (99, b"".join(LINES))]
)
def test_the_tail_is_found_from_the_end(tmp_path: Path, lines: int, expected: bytes) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"".join(LINES))
    assert path.read_bytes()[tail_offset(path, lines) :] == expected


async def test_a_followed_log_goes_on_over_a_rotation(tmp_path: Path) -> None:
    path = tmp_path / "0.log"
    path.write_bytes(LINES[0])
    alive = [True, True, True, False]
    out = b""

    def running() -> bool:
        return alive.pop(0) if len(alive) > 1 else False

    async for piece in read_log(path, LogOptions(follow=True), SystemClock(), running):
        out += piece
        if out == b"one\n":
            path.rename(tmp_path / "0.log.1")
            path.write_bytes(LINES[1])
    assert out == b"one\ntwo\n"


def test_log_options_refuse_nonsense() -> None:
    assert log_options({"tailLines": "5", "follow": "true", "sinceSeconds": "10"}, 100.0) == LogOptions(
        follow=True, tail=5, since=90.0
    )
    with pytest.raises(Refused) as refused:
        log_options({"tailLines": "-1"}, 0.0)
    assert refused.value.code == 422


def test_a_request_is_passed_on_without_credentials() -> None:
    headers = [(b"host", b"a"), (b"authorization", b"Bearer x"), (b"upgrade", b"SPDY/3.1"), (b"connection", b"Upgrade")]
    head = request_head("POST", "http://127.0.0.1:99/exec/token?x=1", headers)
    assert (
        head
        == b"POST /exec/token?x=1 HTTP/1.1\r\nHost: 127.0.0.1:99\r\nUpgrade: SPDY/3.1\r\nConnection: Upgrade\r\n\r\n"
    )


def test_use_is_told_by_container_pod_and_node() -> None:
    use = ContainerUse("id", "c", "p", "ns", "uid", 10.0, "", 2.5, 0.5, 100, 90, 80, 7, 1)
    sample = Sample(at=20.0, containers=(use,), node_cpu_seconds=5.0, node_memory=1000)
    text = resource_metrics(sample)
    assert 'container_cpu_usage_seconds_total{container="c",namespace="ns",pod="p"} 2.5 20000' in text
    assert 'pod_memory_working_set_bytes{namespace="ns",pod="p"} 90.0 20000' in text
    assert "node_cpu_usage_seconds_total 5.0 20000" in text
    answer = summary(sample, "node-1", 0.0)
    assert answer["pods"][0]["cpu"]["usageNanoCores"] == 500_000_000
    assert answer["node"]["memory"]["workingSetBytes"] == 1000


class Auth:
    """Knows the bearer token `jane`, who may use what is in `allowed`."""

    allowed: ClassVar[set[tuple[str, str]]] = {("get", "metrics")}

    async def authenticate(self, headers: Mapping[str, str], certificate: bytes | None) -> User | None:
        return User("jane") if headers.get("authorization") == "Bearer jane" else None

    async def authorize(self, user: User, attributes: ResourceAttributes) -> tuple[bool, str]:
        return (attributes.verb, attributes.subresource) in self.allowed, ""


async def inner(scope: Any, receive: Any, send: Any) -> None:
    await answer(send, 200, "inside")


@pytest.mark.parametrize(
    ("path", "token", "code", "text"),
    [
        ("/metrics", b"jane", 200, "inside"),
        ("/metrics", b"other", 401, "Unauthorized"),
        (
            "/pods",
            b"jane",
            403,
            "Forbidden (user=jane, verb=get, resource=nodes, subresource(s)=[pods proxy])",
        ),
    ],
)
async def test_the_guard_asks_who_and_whether_he_may(path: str, token: bytes, code: int, text: str) -> None:
    told: list[Any] = []

    async def send(message: Any) -> None:
        told.append(message)

    scope = {"type": "http", "method": "GET", "path": path, "headers": [(b"authorization", b"Bearer " + token)]}
    await Guard(inner, Auth(), "node-1")(scope, None, send)  # type: ignore[arg-type]
    assert (told[0]["status"], told[1]["body"].decode()) == (code, text)
