"""The scheduler as a whole on virtual time: what is decided, written, retried, preempted."""

import asyncio
from collections.abc import AsyncIterator

import msgspec
import pytest

from apimachinery.errors import service_unavailable
from component_base.clock import ManualClock
from component_base.rng import seeded
from kubeclient.informer import Informers
from scheduler.service import SchedulerService
from scheduler.views import Pod, PodStatus
from tests.unit.kubeclient.memory_api import MemoryApi
from tests.unit.scheduler.worlds import RecordingCluster, make_node, make_pod


class World:
    def __init__(self) -> None:
        self.clock = ManualClock(1000.0)
        self.cluster = RecordingCluster()
        informers = Informers(MemoryApi().client(), self.clock)
        self.service = SchedulerService(informers, self.cluster, self.clock, seeded(7))

    def add_nodes(self, *names: str, **more: str) -> None:
        for name in names:
            self.service.on_node(None, make_node(name, **more))  # type: ignore[arg-type]

    async def settle(self, seconds: float = 0.0) -> None:
        for _ in range(30):
            await asyncio.sleep(0)
        if seconds:
            self.clock.advance(seconds)
            await self.settle()

    def show_bound(self, pod: Pod) -> Pod:
        """The watch shows what was bound."""
        spec = msgspec.structs.replace(pod.spec, nodeName=self.cluster.bound[pod.metadata.name])
        bound = msgspec.structs.replace(pod, spec=spec)
        self.service.on_pod(pod, bound)
        return bound


@pytest.fixture
async def world() -> AsyncIterator[World]:
    found = World()
    task = asyncio.ensure_future(found.service.run())
    yield found
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_pods_spread_over_the_nodes_with_most_room(world: World) -> None:
    world.add_nodes("a", "b")
    for name in ("p1", "p2", "p3", "p4"):
        world.service.on_pod(None, make_pod(name, cpu="500m"))
    await world.settle()
    assert sorted(world.cluster.bound.values()) == ["a", "a", "b", "b"]
    assert (
        "p1",
        "Scheduled",
        f"Successfully assigned default/p1 to {world.cluster.bound['p1']}",
    ) in world.cluster.events


async def test_a_pod_that_fits_nowhere_says_why_and_goes_when_it_fits(world: World) -> None:
    world.add_nodes("a", "b", cpu="1")
    world.service.on_pod(None, make_pod("big", cpu="2"))
    await world.settle()
    said = world.cluster.conditions["big"]
    assert said.startswith("0/2 nodes are available: 2 Insufficient cpu.")
    assert ("big", "FailedScheduling", said) in world.cluster.events
    world.add_nodes("c", cpu="4")
    await world.settle(1.0)
    assert world.cluster.bound == {"big": "c"}


async def test_without_nodes_it_waits_for_the_first(world: World) -> None:
    world.service.on_pod(None, make_pod("p"))
    await world.settle()
    assert world.cluster.conditions["p"] == "no nodes available to schedule pods"
    world.add_nodes("a")
    await world.settle(1.0)
    assert world.cluster.bound == {"p": "a"}


async def test_a_pod_that_leaves_makes_room(world: World) -> None:
    world.add_nodes("a", cpu="1")
    first = make_pod("first", cpu="800m")
    world.service.on_pod(None, first)
    await world.settle()
    first = world.show_bound(first)
    world.service.on_pod(None, make_pod("second", cpu="800m"))
    await world.settle(10.0)
    assert "second" not in world.cluster.bound
    world.service.on_pod(first, None)
    await world.settle(2.0)
    assert world.cluster.bound["second"] == "a"


async def test_assumed_pods_count_before_the_watch_shows_them(world: World) -> None:
    world.add_nodes("a", cpu="1")
    for name in ("p1", "p2"):
        world.service.on_pod(None, make_pod(name, cpu="800m"))
    await world.settle()
    assert len(world.cluster.bound) == 1


async def test_a_refused_binding_frees_the_room_and_is_tried_again(world: World) -> None:
    world.add_nodes("a", cpu="1")
    world.cluster.refuse = [service_unavailable("busy")]
    world.service.on_pod(None, make_pod("p", cpu="800m"))
    await world.settle()
    assert not world.service.cache.placed
    await world.settle(1.0)
    assert world.cluster.bound == {"p": "a"}


async def test_pods_of_other_schedulers_and_ended_pods_are_left_alone(world: World) -> None:
    world.add_nodes("a")
    world.service.on_pod(None, make_pod("theirs", schedulerName="other"))
    gated = make_pod("gated", schedulingGates=[{"name": "wait"}])
    world.service.on_pod(None, gated)
    await world.settle(20.0)
    assert not world.cluster.bound
    world.service.on_pod(gated, make_pod("gated"))
    await world.settle()
    assert world.cluster.bound == {"gated": "a"}


async def test_the_important_push_out_the_unimportant(world: World) -> None:
    world.add_nodes("a", cpu="1")
    world.add_nodes("b", cpu="1")
    for number, name in enumerate(("low", "middle")):
        pod = make_pod(name, cpu="800m", priority=number)
        world.service.on_pod(None, pod)
        await world.settle()
        world.show_bound(pod)
    world.service.on_pod(None, make_pod("high", cpu="800m", priority=100))
    await world.settle()
    assert world.cluster.evicted == ["low"], "the least important goes"
    assert world.cluster.nominated == {"high": world.cluster.bound["low"]}
    assert len(world.service.cache.placed) == 2, "the trial left no trace"
    assert not world.service.cache.assumed


async def test_who_must_not_preempt_does_not(world: World) -> None:
    world.add_nodes("a", cpu="1")
    low = make_pod("low", cpu="800m", priority=0)
    world.service.on_pod(None, low)
    await world.settle()
    world.show_bound(low)
    world.service.on_pod(None, make_pod("polite", cpu="800m", priority=100, preemptionPolicy="Never"))
    await world.settle()
    assert not world.cluster.evicted
    assert "preemption: 0/1 nodes are available" in world.cluster.conditions["polite"]


async def test_the_room_that_was_made_is_kept_for_the_one_it_was_made_for(world: World) -> None:
    world.add_nodes("a", cpu="1")
    low = make_pod("low", cpu="800m", priority=1)
    world.service.on_pod(None, low)
    await world.settle()
    low = world.show_bound(low)
    high = make_pod("high", cpu="800m", priority=100)
    world.service.on_pod(None, high)
    await world.settle(2.0)
    world.service.on_node(make_node("a"), make_node("a", cpu="1"))  # somebody looks again while the victim still ends
    await world.settle(10.0)
    assert world.cluster.evicted == ["low"], "told once"

    world.service.on_pod(None, make_pod("again", cpu="800m", priority=1))  # by the controller of the one that went
    world.service.on_pod(low, None)
    await world.settle(10.0)
    assert {**world.cluster.bound, "low": ""} == {"low": "", "high": "a"}
    assert not world.service.cache.nominated


async def test_a_nomination_ends_with_its_pod(world: World) -> None:
    world.add_nodes("a", cpu="1")
    status = PodStatus(nominatedNodeName="a")
    high = msgspec.structs.replace(make_pod("high", cpu="2", priority=100), status=status)
    world.service.on_pod(None, high)  # as it was before the scheduler started
    world.service.on_pod(None, make_pod("low", cpu="800m", priority=1))
    await world.settle()
    assert world.cluster.nominated == {"high": ""}, "nothing can be done for it there"
    await world.settle(10.0)
    assert world.cluster.bound == {"low": "a"}


async def test_the_more_important_takes_the_room_of_the_less_important(world: World) -> None:
    world.add_nodes("a", cpu="1")
    low = make_pod("low", cpu="800m", priority=1)
    world.service.on_pod(None, low)
    await world.settle()
    world.show_bound(low)
    for priority, name in ((10, "middle"), (100, "high")):
        world.service.on_pod(None, make_pod(name, cpu="800m", priority=priority))
        await world.settle()
    assert world.cluster.nominated == {"middle": "", "high": "a"}
