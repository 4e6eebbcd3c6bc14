"""/health and its neighbours over a real socket."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence

import pytest

from etcd_raft.monitoring import Monitoring
from etcd_raft.ports import NodeStatus, unavailable
from etcd_raft.transport.addresses import Address


class Source:
    leader_id = 1
    has_quorum = True
    has_failed = False
    is_learner = False

    def status(self) -> NodeStatus:
        return NodeStatus(
            cluster_id=9,
            member_id=255,
            leader_id=self.leader_id,
            term=3,
            committed_index=8,
            applied_index=7,
            is_learner=self.is_learner,
            has_failed=self.has_failed,
            pending_proposals=0,
            snapshot_index=0,
        )

    async def read_index(self) -> None:
        if not self.has_quorum:
            raise unavailable("request timed out")


async def get(monitoring: Monitoring, request: str) -> tuple[int, str]:
    port = monitoring.addresses()[0][1]
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"{request} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    head, _, body = (await reader.read()).decode().partition("\r\n\r\n")
    writer.close()
    return int(head.split()[1]), body


@pytest.fixture
def source() -> Source:
    return Source()


async def served(source: Source, alarms: Sequence[str] = ()) -> Monitoring:
    monitoring = Monitoring(source, lambda: b"metric 1\n", lambda: alarms)
    await monitoring.start(Address("127.0.0.1", 0, False), None)
    return monitoring


async def test_a_healthy_member(source: Source) -> None:
    monitoring = await served(source)
    assert await get(monitoring, "GET /health") == (200, '{"health":"true","reason":""}')
    assert await get(monitoring, "GET /metrics") == (200, "metric 1\n")
    assert (await get(monitoring, "GET /readyz"))[0] == 200
    assert (await get(monitoring, "GET /livez"))[0] == 200
    assert (await get(monitoring, "GET /nothing"))[0] == 404
    assert (await get(monitoring, "POST /health"))[0] == 405
    await monitoring.stop()


async def test_what_makes_a_member_unhealthy(source: Source) -> None:
    monitoring = await served(source, ["NOSPACE"])
    assert await get(monitoring, "GET /health") == (503, '{"health":"false","reason":"ALARM NOSPACE"}')
    assert (await get(monitoring, "GET /health?exclude=NOSPACE"))[0] == 200
    source.has_quorum = False
    status, body = await get(monitoring, "GET /health?exclude=NOSPACE")
    assert (status, body) == (503, '{"health":"false","reason":"RANGE ERROR:etcdserver: request timed out"}')
    assert (await get(monitoring, "GET /health?exclude=NOSPACE&serializable=true"))[0] == 200
    source.leader_id = 0
    assert (await get(monitoring, "GET /health?exclude=NOSPACE&serializable=true"))[0] == 200
    assert "RAFT NO LEADER" in (await get(monitoring, "GET /health?exclude=NOSPACE"))[1]
    source.has_failed = True
    assert (await get(monitoring, "GET /health?exclude=NOSPACE&serializable=true"))[0] == 503
    await monitoring.stop()


async def test_checks_are_told_one_by_one_to_who_asks(source: Source) -> None:
    monitoring = await served(source, ["NOSPACE"])
    told = "[+]data_corruption ok\n[+]serializable_read ok\n[+]linearizable_read ok\n[+]non_learner ok\nok\n"
    assert await get(monitoring, "GET /readyz?verbose") == (200, told)
    assert await get(monitoring, "GET /livez?verbose") == (200, "[+]serializable_read ok\nok\n")
    source.has_quorum, source.is_learner = False, True
    told = (
        "[+]data_corruption ok\n[+]serializable_read ok\n"
        "[-]linearizable_read failed: etcdserver: request timed out\n"
        "[-]non_learner failed: not supported for learner\n\n"
    )
    assert await get(monitoring, "GET /readyz") == (503, told)
    assert await get(monitoring, "GET /readyz?exclude=linearizable_read&exclude=non_learner") == (200, "ok\n")
    assert await get(monitoring, "GET /readyz/data_corruption") == (200, "ok\n")
    assert (await get(monitoring, "GET /readyz/non_learner"))[0] == 503
    assert (await get(monitoring, "GET /livez"))[0] == 200
    source.has_failed = True
    assert (await get(monitoring, "GET /livez/serializable_read"))[0] == 503
    await monitoring.stop()


async def test_a_corrupt_member_is_not_ready(source: Source) -> None:
    monitoring = await served(source, ["CORRUPT"])
    assert (await get(monitoring, "GET /readyz"))[0] == 503
    assert (await get(monitoring, "GET /livez"))[0] == 200
    await monitoring.stop()


async def test_what_is_published_for_debugging(source: Source) -> None:
    outcomes: list[bool] = []
    monitoring = Monitoring(source, lambda: b"", lambda: (), outcomes.append)
    await monitoring.start(Address("127.0.0.1", 0, False), None)
    found = json.loads((await get(monitoring, "GET /debug/vars"))[1])
    assert found["raft.status"] == {
        "id": "ff",
        "term": 3,
        "commit": 8,
        "lead": "1",
        "raftState": "StateFollower",
        "applied": 7,
    }
    await get(monitoring, "GET /health")
    source.leader_id = 0
    await get(monitoring, "GET /health")
    assert outcomes == [True, False]
    await monitoring.stop()


async def test_noise_is_shrugged_off(source: Source) -> None:
    monitoring = await served(source)
    port = monitoring.addresses()[0][1]
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"\x16\x03\x01" * 9000)
    await writer.drain()
    writer.close()
    assert (await get(monitoring, "GET /livez"))[0] == 200
    await monitoring.stop()
