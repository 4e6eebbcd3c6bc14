"""Probes on virtual time: thresholds, the order of kinds, what a new kubelet takes over."""

import asyncio
from typing import Any

from component_base.clock import ManualClock
from kubelet.pod import Probe
from kubelet.prober.check import Outcome, Target
from kubelet.prober.state import Kind, ProbeState
from kubelet.prober.workers import Prober
from tests.unit.kubelet.fake_api import RecordedEvents
from tests.unit.kubelet.pods import make_pod, running, seen

TCP: dict[str, Any] = {"tcpSocket": {"port": 80}, "periodSeconds": 1, "failureThreshold": 2, "successThreshold": 1}


def test_verdicts_turn_at_their_thresholds() -> None:
    state = ProbeState(Kind.READINESS, Probe(success_threshold=2, failure_threshold=3))
    assert [state.observe(ok) for ok in (True, True, False, False, False)] == [False, True, False, False, True]
    assert state.verdict is False


class Bench:
    def __init__(self) -> None:
        self.clock = ManualClock(100.0)
        self.answers: dict[str, bool] = {}
        self.events = RecordedEvents()
        self.changed: list[str] = []
        self.prober = Prober(self._check, self.events, self.clock, self.changed.append)

    async def _check(self, probe: Probe, target: Target) -> Outcome:
        return Outcome(self.answers.get(target.container.name, True), "told")

    async def pass_seconds(self, seconds: int) -> None:
        for _ in range(seconds):
            for _ in range(5):
                await asyncio.sleep(0)
            self.clock.advance(1)
        for _ in range(5):
            await asyncio.sleep(0)


async def test_liveness_waits_for_startup_and_then_fails() -> None:
    bench = Bench()
    pod = make_pod(
        "a", extra={"a": {"startupProbe": TCP | {"failureThreshold": 9}, "livenessProbe": TCP, "readinessProbe": TCP}}
    )
    bench.answers["a"] = False
    bench.prober.sync(pod, seen(pod, running(pod, "a")))
    await bench.pass_seconds(1)
    assert not bench.prober.probed(pod.uid).started
    bench.answers["a"] = True
    await bench.pass_seconds(2)
    probed = bench.prober.probed(pod.uid)
    assert "a-0" in probed.started
    assert "a-0" in probed.ready
    bench.answers["a"] = False
    await bench.pass_seconds(3)
    probed = bench.prober.probed(pod.uid)
    assert "a-0" in probed.liveness_failed
    assert "a-0" not in probed.ready
    assert ("Warning", "Unhealthy", "Liveness probe failed: told") in bench.events.seen
    bench.prober.stop_pod(pod.uid)


async def test_a_new_kubelet_believes_what_the_api_says_of_the_same_container() -> None:
    bench = Bench()
    bench.answers["a"] = False
    status = {"name": "a", "containerID": "containerd://a-0", "ready": True, "started": True}
    pod = make_pod(
        "a", extra={"a": {"startupProbe": TCP, "readinessProbe": TCP}}, status={"containerStatuses": [status]}
    )
    bench.prober.sync(pod, seen(pod, running(pod, "a")))
    probed = bench.prober.probed(pod.uid)
    assert "a-0" in probed.started
    assert "a-0" in probed.ready
    await bench.pass_seconds(3)
    assert "a-0" not in bench.prober.probed(pod.uid).ready
    bench.prober.stop_pod(pod.uid)


async def test_probes_end_with_their_container() -> None:
    bench = Bench()
    pod = make_pod("a", extra={"a": {"readinessProbe": TCP}})
    bench.prober.sync(pod, seen(pod, running(pod, "a")))
    await bench.pass_seconds(1)
    bench.prober.sync(pod, seen(pod, running(pod, "a", attempt=1)))
    await bench.pass_seconds(1)
    assert bench.prober.probed(pod.uid).ready == {"a-1"}
    bench.prober.stop_pod(pod.uid)
