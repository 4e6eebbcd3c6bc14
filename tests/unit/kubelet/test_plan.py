from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from kubelet.pod import Pod
from kubelet.sync.backoff import Backoff
from kubelet.sync.observed import PodSeen, Probed
from kubelet.sync.plan import PodActions, Start, backoff_key, compute_pod_actions
from tests.unit.kubelet.pods import exited, make_pod, running, sandbox, seen, unknown

PROBE: dict[str, Any] = {"tcpSocket": {"port": 80}}


@dataclass
class Case:
    pod: Pod
    seen: Callable[[Pod], PodSeen]
    starts: tuple[tuple[str, int], ...] = ()
    kills: tuple[str, ...] = ()
    kill_pod: bool = False
    create: bool = False
    attempt: int = 0
    probed: Probed = field(default_factory=Probed)


CASES = {
    "a new pod gets a sandbox and its containers": Case(
        make_pod("a", "b"), lambda p: seen(p, sandboxes=()), starts=(("a", 0), ("b", 0)), create=True
    ),
    "a new pod with init containers starts with the first of them": Case(
        make_pod("a", init=("i", "j")), lambda p: seen(p, sandboxes=()), starts=(("i", 0),), create=True
    ),
    "a running pod needs nothing": Case(make_pod("a"), lambda p: seen(p, running(p, "a"))),
    "the missing container is started": Case(
        make_pod("a", "b"), lambda p: seen(p, running(p, "a")), starts=(("b", 0),)
    ),
    "an exited container is restarted under Always": Case(
        make_pod("a"), lambda p: seen(p, exited(p, "a", 0)), starts=(("a", 1),)
    ),
    "success is left alone under OnFailure": Case(
        make_pod("a", "b", policy="OnFailure"), lambda p: seen(p, exited(p, "a"), running(p, "b"))
    ),
    "failure is restarted under OnFailure": Case(
        make_pod("a", policy="OnFailure"), lambda p: seen(p, exited(p, "a", 1)), starts=(("a", 1),)
    ),
    "a finished pod is stopped": Case(
        make_pod("a", "b", policy="Never"), lambda p: seen(p, exited(p, "a"), exited(p, "b", 3)), kill_pod=True
    ),
    "a container's own policy counts more than the pod's": Case(
        make_pod("a", policy="Never", extra={"a": {"restartPolicy": "Always"}}),
        lambda p: seen(p, exited(p, "a", 1)),
        starts=(("a", 1),),
    ),
    "a restart rule on an exit code counts most": Case(
        make_pod(
            "a",
            policy="Never",
            extra={
                "a": {"restartPolicyRules": [{"action": "Restart", "exitCodes": {"operator": "In", "values": [42]}}]}
            },
        ),
        lambda p: seen(p, exited(p, "a", 42)),
        starts=(("a", 1),),
    ),
    "a dead sandbox is replaced with all that still has to run": Case(
        make_pod("a", "b", policy="OnFailure"),
        lambda p: seen(p, exited(p, "a"), exited(p, "b", 137), sandboxes=(sandbox(ready=False),)),
        starts=(("b", 1),),
        kill_pod=True,
        create=True,
        attempt=1,
    ),
    "a dead sandbox of a finished pod is not replaced": Case(
        make_pod("a", policy="Never"),
        lambda p: seen(p, exited(p, "a"), sandboxes=(sandbox(ready=False),)),
        kill_pod=True,
    ),
    "a sandbox without address is replaced": Case(
        make_pod("a"),
        lambda p: seen(p, sandboxes=(sandbox(ips=()),)),
        starts=(("a", 0),),
        kill_pod=True,
        create=True,
        attempt=1,
    ),
    "two live sandboxes are replaced by one": Case(
        make_pod("a"),
        lambda p: seen(p, sandboxes=(sandbox(attempt=1), sandbox())),
        starts=(("a", 0),),
        kill_pod=True,
        create=True,
        attempt=2,
    ),
    "the second init container follows the first one's success": Case(
        make_pod("a", init=("i", "j")), lambda p: seen(p, exited(p, "i")), starts=(("j", 0),)
    ),
    "a running init container is waited for": Case(make_pod("a", init=("i",)), lambda p: seen(p, running(p, "i"))),
    "containers follow the last init container": Case(
        make_pod("a", init=("i",)), lambda p: seen(p, exited(p, "i")), starts=(("a", 0),)
    ),
    "a failed init container is run again": Case(
        make_pod("a", init=("i",)), lambda p: seen(p, exited(p, "i", 1)), starts=(("i", 1),)
    ),
    "a failed init container ends the pod under Never": Case(
        make_pod("a", init=("i",), policy="Never"), lambda p: seen(p, exited(p, "i", 1)), kill_pod=True
    ),
    "init containers stay done when their records are gone": Case(
        make_pod("a", init=("i",)), lambda p: seen(p, running(p, "a"))
    ),
    "init containers run again in a new sandbox": Case(
        make_pod("a", init=("i",)),
        lambda p: seen(p, exited(p, "a", 137), exited(p, "i"), sandboxes=(sandbox(attempt=1), sandbox(ready=False))),
        starts=(("i", 1),),
        attempt=1,
    ),
    "a running sidecar lets the others start": Case(
        make_pod("a", init=("s",), sidecars=("s",)), lambda p: seen(p, running(p, "s")), starts=(("a", 0),)
    ),
    "a sidecar's startup probe holds the others back": Case(
        make_pod("a", init=("s",), sidecars=("s",), extra={"s": {"startupProbe": PROBE}}),
        lambda p: seen(p, running(p, "s")),
    ),
    "a sidecar that has started lets the others start": Case(
        make_pod("a", init=("s",), sidecars=("s",), extra={"s": {"startupProbe": PROBE}}),
        lambda p: seen(p, running(p, "s")),
        starts=(("a", 0),),
        probed=Probed(started=frozenset({"s-0"})),
    ),
    "a dead sidecar is restarted beside running containers": Case(
        make_pod("a", init=("s",), sidecars=("s",)),
        lambda p: seen(p, running(p, "a"), exited(p, "s", 0)),
        starts=(("s", 1),),
    ),
    "a pod is finished although its sidecar runs": Case(
        make_pod("a", init=("s",), sidecars=("s",), policy="Never"),
        lambda p: seen(p, exited(p, "a"), running(p, "s")),
        kill_pod=True,
    ),
    "failed liveness kills and restarts": Case(
        make_pod("a", "b"),
        lambda p: seen(p, running(p, "a"), running(p, "b")),
        starts=(("a", 1),),
        kills=("Container a failed liveness probe, will be restarted",),
        probed=Probed(liveness_failed=frozenset({"a-0"})),
    ),
    "failed startup kills for good under Never": Case(
        make_pod("a", policy="Never"),
        lambda p: seen(p, running(p, "a")),
        kills=("Container a failed startup probe",),
        probed=Probed(startup_failed=frozenset({"a-0"})),
    ),
    "a changed image restarts the container": Case(
        make_pod("a"),
        lambda p: seen(p, running(p, "a", spec_hash="old")),
        starts=(("a", 1),),
        kills=("Container a definition changed, will be restarted",),
    ),
    "a lost container is killed before its restart": Case(
        make_pod("a"),
        lambda p: seen(p, unknown(p, "a")),
        starts=(("a", 1),),
        kills=("Container is in unknown state, try killing it before restart: a",),
    ),
    "host network needs no address": Case(
        make_pod("a", hostNetwork=True),
        lambda p: seen(p, running(p, "a"), sandboxes=(sandbox(ips=(), host_network=True),)),
    ),
    "an ephemeral container joins": Case(
        make_pod("a", ephemeralContainers=[{"name": "debug"}]),
        lambda p: seen(p, running(p, "a")),
        starts=(("debug", 0),),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_plan(name: str) -> None:
    case = CASES[name]
    actions = compute_pod_actions(case.pod, case.seen(case.pod), now=1000.0, backoff=Backoff(), probed=case.probed)
    assert [(s.name, s.attempt) for s in actions.starts] == list(case.starts)
    assert [k.message for k in actions.kills] == list(case.kills)
    assert (actions.kill_pod, actions.create_sandbox) == (case.kill_pod, case.create)
    if case.create or case.attempt:
        assert actions.sandbox_attempt == case.attempt


def _restart(backoff: Backoff, pod: Pod, at: float, now: float) -> PodActions:
    return compute_pod_actions(pod, seen(pod, exited(pod, "a", 1, at=at)), now=now, backoff=backoff)


def test_restarts_back_off_from_ten_seconds_to_five_minutes() -> None:
    pod = make_pod("a")
    key = backoff_key(pod.spec.containers[0])
    backoff = Backoff()
    now, delays = 1000.0, []
    for _ in range(8):
        waiting = _restart(backoff, pod, at=now, now=now)
        delays.append(waiting.waiting["a"].until - now if waiting.waiting else 0.0)
        ready_at = now + delays[-1]
        assert _restart(backoff, pod, at=now, now=ready_at).starts == (Start("a", 1, "container"),)
        backoff.next(key, now, ready_at)
        now = ready_at + 1
    assert delays == [0, 10, 20, 40, 80, 160, 300, 300]
    held = _restart(backoff, pod, at=now, now=now)
    assert held.waiting["a"].reason == "CrashLoopBackOff"
    assert held.waiting["a"].message == ("back-off 5m0s restarting failed container=a pod=web_default(uid-1)")
    assert held.wake_at == now + 300


def test_a_container_that_ran_long_restarts_at_once() -> None:
    pod = make_pod("a")
    backoff = Backoff()
    backoff.next(backoff_key(pod.spec.containers[0]), 0.0, 0.0)
    assert _restart(backoff, pod, at=700.0, now=700.0).starts
