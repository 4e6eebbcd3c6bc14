import asyncio
from collections.abc import AsyncIterator, Callable

import msgspec
import pytest

from apimachinery.errors import service_unavailable
from component_base.clock import ManualClock
from component_base.rng import seeded
from kubeclient.informer import Informer
from tests.unit.kubeclient.memory_api import MemoryApi

PODS = "/api/v1/namespaces/x/pods"


class Meta(msgspec.Struct, frozen=True):
    name: str
    namespace: str = ""
    labels: dict[str, str] = {}


class Pod(msgspec.Struct, frozen=True):
    metadata: Meta
    node: str = ""


def body(name: str, node: str = "") -> dict[str, object]:
    return {"metadata": {"name": name, "namespace": "x"}, "node": node}


@pytest.fixture
def api() -> MemoryApi:
    return MemoryApi()


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def informer(api: MemoryApi, clock: ManualClock) -> AsyncIterator[Informer[Pod]]:
    found = Informer(api.client(), PODS, Pod, clock, indexes={"node": lambda pod: [pod.node]}, rng=seeded(1))
    task = asyncio.ensure_future(found.run())
    yield found
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def until(condition: Callable[[], bool]) -> None:
    for _ in range(200):
        if condition():
            return
        await asyncio.sleep(0)
    raise AssertionError("it did not happen")


async def test_it_holds_what_was_there_and_what_comes(api: MemoryApi, informer: Informer[Pod]) -> None:
    api.put(f"{PODS}/a", body("a", "n1"))
    await informer.synced.wait()
    api.put(f"{PODS}/b", body("b", "n1"))
    await until(lambda: len(informer) == 2)
    assert {pod.metadata.name for pod in informer.indexed("node", "n1")} == {"a", "b"}
    api.put(f"{PODS}/b", body("b", "n2"))
    await until(lambda: informer.get("x/b") == Pod(Meta("b", "x"), "n2"))
    assert [pod.metadata.name for pod in informer.indexed("node", "n1")] == ["a"]
    api.remove(f"{PODS}/a")
    await until(lambda: informer.get("x/a") is None)
    assert informer.revision == api.revision


async def test_handlers_see_each_step(api: MemoryApi, informer: Informer[Pod]) -> None:
    steps: list[tuple[str | None, str | None]] = []
    informer.add_handler(lambda old, new: steps.append((old.node if old else None, new.node if new else None)))
    await informer.synced.wait()
    api.put(f"{PODS}/a", body("a", "n1"))
    api.put(f"{PODS}/a", body("a", "n2"))
    api.remove(f"{PODS}/a")
    await until(lambda: len(steps) == 3)
    assert steps == [(None, "n1"), ("n1", "n2"), ("n2", None)]


async def test_a_watch_that_ends_goes_on_where_it_was(api: MemoryApi, informer: Informer[Pod]) -> None:
    await informer.synced.wait()
    api.put(f"{PODS}/a", body("a"))
    await until(lambda: len(informer) == 1)
    api.drop()
    api.put(f"{PODS}/b", body("b"))
    await until(lambda: len(informer) == 2)
    assert api.log.count(f"GET {PODS}") == 3, "one list and two watches"


async def test_after_an_expired_watch_the_list_tells_what_is_gone(api: MemoryApi, informer: Informer[Pod]) -> None:
    api.put(f"{PODS}/a", body("a"))
    await informer.synced.wait()
    gone: list[str] = []
    informer.add_handler(lambda old, new: gone.append(old.metadata.name) if old and new is None else None)
    await until(lambda: len(api.log) == 2)
    api.drop()
    api.remove(f"{PODS}/a")
    api.history.clear()
    api.oldest = api.revision
    await until(lambda: gone == ["a"])


async def test_a_refused_list_is_tried_again_later(api: MemoryApi, informer: Informer[Pod], clock: ManualClock) -> None:
    await until(lambda: len(api.log) == 2)
    api.refuse = [service_unavailable("starting"), service_unavailable("starting")]
    api.drop()
    api.put(f"{PODS}/a", body("a"))
    for _ in range(20):
        await asyncio.sleep(0)
        clock.advance(1)
    await until(lambda: len(informer) == 1)


async def test_an_object_of_another_shape_is_left_out(
    api: MemoryApi, informer: Informer[Pod], caplog: pytest.LogCaptureFixture
) -> None:
    api.put(f"{PODS}/bad", {"metadata": {"name": "bad", "namespace": "x"}, "node": 5})
    api.put(f"{PODS}/good", body("good"))
    await until(lambda: len(informer) == 1)
    assert [pod.metadata.name for pod in informer.values()] == ["good"]
    assert "x/bad is left out" in caplog.text
