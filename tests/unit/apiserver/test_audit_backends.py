"""Where audit events go: files that are exchanged, batches, what is too large, and a webhook."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest

from apiserver.audit.backends import Batches, BatchOptions, LogBackend, Truncation, Webhook
from apiserver.audit.flags import declare
from apiserver.audit.log_file import MEGABYTE, Keeping, RotatedFile, as_json, as_legacy
from apiserver.audit.options import build
from component_base.clock import ManualClock
from component_base.flags import FlagSet, Values

JSON = dict[str, Any]
NOW = 1_767_322_984.5  # 2026-01-02T03:03:04.5Z
DAY = 86400.0
LINE = b"x" * (MEGABYTE // 2 - 1) + b"\n"


def event(number: int = 0, **more: Any) -> JSON:
    return {"auditID": str(number), "stage": "ResponseComplete", "verb": "get", "user": {}, "requestURI": "/", **more}


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


# -- Files


def test_a_full_file_is_exchanged_for_a_new_one(tmp_path: Path) -> None:
    file = RotatedFile(tmp_path / "audit.log", Keeping(max_size=1), ManualClock(NOW))
    for _ in range(5):
        file.write(LINE)
    assert names(tmp_path) == [
        "audit-2026-01-02T03-03-04.500.log",
        "audit-2026-01-02T03-03-04.501.log",
        "audit.log",
    ]
    assert (tmp_path / "audit.log").read_bytes() == LINE
    file.close()


def test_a_file_without_a_limit_grows(tmp_path: Path) -> None:
    file = RotatedFile(tmp_path / "audit.log", Keeping(max_size=0), ManualClock(NOW))
    for _ in range(5):
        file.write(LINE)
    assert names(tmp_path) == ["audit.log"]
    file.close()


def test_two_writers_of_one_file_lose_nothing(tmp_path: Path) -> None:
    clock = ManualClock(NOW)
    files = [RotatedFile(tmp_path / "audit.log", Keeping(max_size=1), clock) for _ in range(2)]
    for number in range(40):
        files[number % 2].write(b"%06d" % number + b"." * 100_000 + b"\n")
    lines = sorted(line[:6] for path in tmp_path.iterdir() for line in path.read_bytes().splitlines())
    assert lines == [b"%06d" % number for number in range(40)]
    assert all(path.stat().st_size <= MEGABYTE for path in tmp_path.iterdir())
    for file in files:
        file.close()


def test_a_file_that_somebody_moves_is_made_anew(tmp_path: Path) -> None:
    file = RotatedFile(tmp_path / "audit.log", Keeping(), ManualClock(NOW))
    file.write(b"one\n")
    (tmp_path / "audit.log").rename(tmp_path / "old")
    file.write(b"two\n")
    assert (tmp_path / "audit.log").read_bytes() == b"two\n"
    file.close()


def test_old_files_go_by_number_and_by_age(tmp_path: Path) -> None:
    clock = ManualClock(NOW)
    for stamp in ("2026-01-02T03-00-00.000", "2026-01-01T03-00-00.000", "2025-12-01T00-00-00.000"):
        (tmp_path / f"audit-{stamp}.log").write_bytes(b"old")
    (tmp_path / "audit-notes.log").write_bytes(b"not ours")
    file = RotatedFile(tmp_path / "audit.log", Keeping(max_age=7, max_backups=0), clock)
    file.tidy()
    assert "audit-2025-12-01T00-00-00.000.log" not in names(tmp_path)
    assert "audit-2026-01-01T03-00-00.000.log" in names(tmp_path)
    RotatedFile(tmp_path / "audit.log", Keeping(max_age=0, max_backups=1), clock).tidy()
    assert names(tmp_path) == ["audit-2026-01-02T03-00-00.000.log", "audit-notes.log", "audit.log"]
    file.close()


def test_old_files_may_be_compressed(tmp_path: Path) -> None:
    name = "audit-2026-01-02T03-00-00.000.log"
    (tmp_path / name).write_bytes(b"old\n")
    file = RotatedFile(tmp_path / "audit.log", Keeping(compress=True), ManualClock(NOW))
    file.tidy()
    assert names(tmp_path) == [f"{name}.gz", "audit.log"]
    assert gzip.decompress((tmp_path / f"{name}.gz").read_bytes()) == b"old\n"
    file.close()


def test_the_older_form_is_one_line_of_named_values() -> None:
    told = event(
        user={"username": 'a"b', "groups": ["g"]},
        sourceIPs=["192.0.2.1"],
        responseStatus={"code": 200},
        requestReceivedTimestamp="2026-01-02T03:04:05.000000Z",
    )
    assert as_legacy(told).decode() == (
        '2026-01-02T03:04:05.000000Z AUDIT: id="0" stage="ResponseComplete" ip="192.0.2.1" method="get" '
        'user="a\\"b" groups="\\"g\\"" as="<self>" asgroups="<lookup>" user-agent="" namespace="<none>" uri="/" '
        'response="200"\n'
    )


# -- Backends


class Unwritable:
    full = None

    def write(self, line: bytes) -> None:
        raise OSError("no space left")

    def tidy(self) -> None: ...

    def close(self) -> None: ...


@pytest.mark.parametrize("is_strict", [False, True])
def test_only_a_strict_log_tells_of_what_it_could_not_write(is_strict: bool) -> None:
    assert LogBackend(Unwritable(), as_json, None, is_strict).take(event()) is not is_strict


def test_an_event_that_is_too_large_loses_its_bodies_and_then_itself() -> None:
    cut = Truncation(200, 1000)
    whole = event(requestObject={"data": "x" * 300}, annotations={"a": "b"})
    data = cut.encode(whole, orjson.dumps)
    assert data is not None
    assert "requestObject" not in json.loads(data)
    assert json.loads(data)["annotations"] == {"a": "b", "audit.k8s.io/truncated": "true"}
    assert "requestObject" in whole
    assert cut.encode(event(requestURI="/" * 300), orjson.dumps) is None
    assert cut.encode(event(), orjson.dumps) == orjson.dumps(event())


class Sent:
    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.is_closed = False

    async def send(self, batch: Sequence[bytes]) -> None:
        self.batches.append([json.loads(one)["auditID"] for one in batch])

    async def close(self) -> None:
        self.is_closed = True

    def batches_of(self, options: BatchOptions, clock: ManualClock, cut: Truncation | None = None) -> Batches:
        return Batches("test", self.send, self.close, orjson.dumps, cut, options, clock)


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_a_batch_goes_when_it_is_full_or_has_waited() -> None:
    sent, clock = Sent(), ManualClock(NOW)
    batches = sent.batches_of(BatchOptions(buffer=10, most=2, wait=30), clock)
    for number in range(3):
        batches.take(event(number))
    await settle()
    assert sent.batches == [["0", "1"]]
    clock.advance(30)
    await settle()
    assert sent.batches == [["0", "1"], ["2"]]
    await batches.close()


async def test_what_waits_is_sent_at_the_end_and_too_much_is_dropped() -> None:
    sent = Sent()
    batches = sent.batches_of(BatchOptions(buffer=2, most=2, wait=30), ManualClock(NOW))
    for number in range(3):
        batches.take(event(number))
    await batches.close()
    assert sent.batches == [["0", "1"]]
    assert sent.is_closed


async def test_batches_are_no_larger_than_allowed_and_no_more_often() -> None:
    sent, clock = Sent(), ManualClock(NOW)
    options = BatchOptions(buffer=10, most=4, wait=1, per_second=1, burst=1)
    batches = sent.batches_of(options, clock, Truncation(1000, 2 * len(orjson.dumps(event()))))
    for number in range(4):
        batches.take(event(number))
    await settle()
    assert sent.batches == [["0", "1"]]
    for _ in range(2):
        clock.advance(1)
        await settle()
    assert sent.batches == [["0", "1"], ["2", "3"]]
    await batches.close()


async def test_a_webhook_gets_lists_and_is_asked_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = {
        "clusters": [{"name": "c", "cluster": {"server": "http://audit.test/take"}}],
        "users": [{"name": "u", "user": {"token": "secret"}}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "x",
    }
    (tmp_path / "kubeconfig").write_text(json.dumps(config))
    clock, asked = ManualClock(NOW), []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append((request.headers["authorization"], json.loads(request.content)))
        return httpx.Response(500 if len(asked) == 1 else 200)

    hook = Webhook(str(tmp_path / "kubeconfig"), 0.0, clock)
    monkeypatch.setattr(hook, "_client", httpx.AsyncClient(transport=httpx.MockTransport(answer)))
    await hook.send([b'{"auditID":"1"}', b'{"auditID":"2"}'])
    assert [token for token, _ in asked] == ["Bearer secret"] * 2
    assert asked[0][1] == asked[1][1]
    assert (asked[1][1]["kind"], asked[1][1]["apiVersion"]) == ("EventList", "audit.k8s.io/v1")
    assert [one["auditID"] for one in asked[1][1]["items"]] == ["1", "2"]
    await hook.close()


# -- Flags


def values(*arguments: str) -> Values:
    flags = FlagSet("test", "")
    declare(flags)
    return flags.parse_or_raise(arguments)


def test_nothing_is_audited_without_a_policy_or_without_a_place(tmp_path: Path) -> None:
    policy = tmp_path / "policy.yaml"
    policy.write_text("apiVersion: audit.k8s.io/v1\nkind: Policy\nrules:\n- level: Metadata\n")
    assert build(values(f"--audit-log-path={tmp_path / 'log'}"), ManualClock(NOW)) is None
    assert build(values(f"--audit-policy-file={policy}"), ManualClock(NOW)) is None
    assert build(values(f"--audit-policy-file={policy}", "--audit-log-path=-"), ManualClock(NOW)) is not None


@pytest.mark.parametrize("name", ["audit-log-version", "audit-webhook-version"])
def test_other_versions_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match=f"--{name}"):
        build(values(f"--{name}=audit.k8s.io/v1beta1"), ManualClock(NOW))


def test_a_policy_that_is_wrong_names_its_file(tmp_path: Path) -> None:
    (tmp_path / "policy.yaml").write_text("kind: Policy\n")
    with pytest.raises(ValueError, match=r"policy\.yaml"):
        build(values(f"--audit-policy-file={tmp_path / 'policy.yaml'}", "--audit-log-path=-"), ManualClock(NOW))
