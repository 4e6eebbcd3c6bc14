import asyncio

import pytest

from apimachinery.errors import service_unavailable
from component_base.clock import ManualClock
from component_base.rng import seeded
from kubeclient.leader import LeaderElector, LeadershipLost
from tests.unit.kubeclient.memory_api import MemoryApi


def elector(api: MemoryApi, clock: ManualClock, who: str) -> LeaderElector:
    return LeaderElector(api.client(), "kube-system", "scheduler", who, clock, rng=seeded(1))


async def settle() -> None:
    for _ in range(40):
        await asyncio.sleep(0)


async def advance(clock: ManualClock, seconds: float) -> None:
    for _ in range(int(seconds)):
        await settle()
        clock.advance(1)
    await settle()


async def for_ever() -> None:
    await asyncio.Event().wait()


async def test_one_leads_and_the_next_follows_when_it_vanishes() -> None:
    api, clock = MemoryApi(), ManualClock(1000.0)
    first, second = elector(api, clock, "a"), elector(api, clock, "b")
    one = asyncio.ensure_future(first.run(for_ever))
    await advance(clock, 1)
    two = asyncio.ensure_future(second.run(for_ever))
    await advance(clock, 60)
    assert (first.is_leader, second.is_leader) == (True, False)
    one.cancel()
    await advance(clock, 30)
    assert second.is_leader
    lease = next(iter(api.objects.values()))
    assert lease["spec"]["leaseTransitions"] == 1
    two.cancel()
    await asyncio.gather(one, two, return_exceptions=True)


async def test_a_leader_that_cannot_renew_stops() -> None:
    api, clock = MemoryApi(), ManualClock(1000.0)
    leader = elector(api, clock, "a")
    task = asyncio.ensure_future(leader.run(for_ever))
    await advance(clock, 5)
    assert leader.is_leader
    api.refuse = [service_unavailable("down") for _ in range(100)]
    await advance(clock, 20)
    with pytest.raises(LeadershipLost):
        await task


async def test_a_released_lease_is_taken_at_once() -> None:
    api, clock = MemoryApi(), ManualClock(1000.0)
    first, second = elector(api, clock, "a"), elector(api, clock, "b")
    one = asyncio.ensure_future(first.run(for_ever))
    await advance(clock, 3)
    one.cancel()
    await asyncio.gather(one, return_exceptions=True)
    await first.release()
    two = asyncio.ensure_future(second.run(for_ever))
    await advance(clock, 3)
    assert second.is_leader
    two.cancel()
    await asyncio.gather(two, return_exceptions=True)
