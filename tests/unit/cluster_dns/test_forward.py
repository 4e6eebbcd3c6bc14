"""Questions about the outside: passed on, and refused at once while no resolver answers."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import cast

import pytest

from cluster_dns.forward import REST_SECONDS, Forwarder, NoAnswer
from component_base.clock import ManualClock
from component_base.rng import system_rng

QUERY = b"\x12\x34question"


class Resolver(asyncio.DatagramProtocol):
    """On a port of its own of 127.0.0.1; `asked` counts questions."""

    def __init__(self) -> None:
        self.asked = 0
        self.speaks = True

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.DatagramTransport, transport)

    @property
    def port(self) -> int:
        return int(self.transport.get_extra_info("sockname")[1])

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self.asked += 1
        if self.speaks:
            self.transport.sendto(data[:2] + b"answer", addr)


@pytest.fixture
async def resolver() -> AsyncIterator[Resolver]:
    loop = asyncio.get_running_loop()
    transport, made = await loop.create_datagram_endpoint(Resolver, local_addr=("127.0.0.1", 0))
    yield made
    transport.close()


async def test_the_answer_carries_the_id_of_the_question(resolver: Resolver) -> None:
    forwarder = Forwarder(["127.0.0.1"], system_rng(), ManualClock(), resolver.port, 5)
    assert await forwarder.ask(QUERY, over_tcp=False) == b"\x12\x34answer"


async def test_a_silent_resolver_rests_and_is_asked_again_later(resolver: Resolver) -> None:
    clock = ManualClock()
    forwarder = Forwarder(["127.0.0.1"], system_rng(), clock, resolver.port, 0.01)
    resolver.speaks = False
    for _ in range(5):
        with pytest.raises(NoAnswer):
            await forwarder.ask(QUERY, over_tcp=False)
    assert resolver.asked == 2
    resolver.speaks = True
    for _ in range(50):  # a busy machine may miss the short time limit
        clock.advance(REST_SECONDS + 1)
        with contextlib.suppress(NoAnswer):
            assert await forwarder.ask(QUERY, over_tcp=False) == b"\x12\x34answer"
            return
    raise AssertionError("the resolver was not asked again")


async def test_without_resolvers_there_is_no_answer() -> None:
    with pytest.raises(NoAnswer, match="no resolver"):
        await Forwarder([], system_rng(), ManualClock()).ask(QUERY, over_tcp=False)
