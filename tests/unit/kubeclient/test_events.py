import asyncio

from component_base.clock import ManualClock
from kubeclient.events import BURST, COMBINED, SIMILAR_LIMIT, Correlator, EventRecorder
from tests.unit.kubeclient.memory_api import MemoryApi

POD = {"apiVersion": "v1", "kind": "Pod", "namespace": "x", "name": "web", "uid": "u1"}


def test_the_same_event_again_is_counted() -> None:
    correlator = Correlator("kubelet", "n1")
    first, second = (correlator.correlate(POD, "Normal", "Pulled", "image", at) for at in (100.0, 160.0))
    assert first is not None
    assert second is not None
    assert (first[0]["count"], second[0]["count"]) == (1, 2)
    assert second[0]["firstTimestamp"] == "1970-01-01T00:01:40Z"
    assert second[0]["lastTimestamp"] == "1970-01-01T00:02:40Z"
    assert first[0]["metadata"]["name"] == second[0]["metadata"]["name"]


def test_an_object_that_shouts_is_silenced_and_recovers() -> None:
    correlator = Correlator("kubelet", "n1")
    passed = [correlator.correlate(POD, "Normal", "R", "m", 100.0) for _ in range(BURST + 5)]
    assert sum(found is not None for found in passed) == BURST
    assert correlator.correlate(POD, "Normal", "R", "m", 100.0 + 300) is not None
    other = {**POD, "name": "db"}
    assert correlator.correlate(other, "Normal", "R", "m", 100.0) is not None


def test_many_alike_are_combined() -> None:
    correlator = Correlator("scheduler", "")
    found = [correlator.correlate(POD, "Warning", "Failed", f"reason {n}", 100.0) for n in range(SIMILAR_LIMIT + 2)]
    messages = [body["message"] for body, _ in filter(None, found)]
    assert messages[SIMILAR_LIMIT - 1] == f"reason {SIMILAR_LIMIT - 1}"
    assert messages[SIMILAR_LIMIT].startswith(COMBINED)


async def test_the_recorder_writes_once_and_then_patches() -> None:
    api = MemoryApi()
    recorder = EventRecorder(api.client(), "kubelet", "n1", ManualClock(1000.0))
    task = asyncio.ensure_future(recorder.run())
    for _ in range(3):
        recorder.event(POD, "Normal", "Started", "it runs")
    for _ in range(50):
        await asyncio.sleep(0)
    (stored,) = api.objects.values()
    assert stored["count"] == 3
    assert [line.split()[0] for line in api.log] == ["POST", "PATCH", "PATCH"]
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
