"""/health and its neighbours over a real socket."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from etcd_raft.monitoring import Monitoring
from etcd_raft.ports import unavailable
from etcd_raft.transport.addresses import Address


class Source:
    leader_id = 1
    has_quorum = True

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
    assert await get(monitoring, "GET /health") == (200, '{"health": "true", "reason": ""}')
    assert await get(monitoring, "GET /metrics") == (200, "metric 1\n")
    assert (await get(monitoring, "GET /readyz"))[0] == 200
    assert (await get(monitoring, "GET /livez"))[0] == 200
    assert (await get(monitoring, "GET /nothing"))[0] == 404
    assert (await get(monitoring, "POST /health"))[0] == 405
    await monitoring.stop()


async def test_what_makes_a_member_unhealthy(source: Source) -> None:
    monitoring = await served(source, ["NOSPACE"])
    assert await get(monitoring, "GET /health") == (503, '{"health": "false", "reason": "ALARM NOSPACE"}')
    assert (await get(monitoring, "GET /health?exclude=NOSPACE"))[0] == 200
    source.has_quorum = False
    assert (await get(monitoring, "GET /health?exclude=NOSPACE"))[0] == 503
    assert (await get(monitoring, "GET /health?exclude=NOSPACE&serializable=true"))[0] == 200
    source.leader_id = 0
    status, body = await get(monitoring, "GET /health?exclude=NOSPACE&serializable=true")
    assert (status, "RAFT NO LEADER" in body) == (503, True)
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
