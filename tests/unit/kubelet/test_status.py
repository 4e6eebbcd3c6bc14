from typing import Any

import pytest

from kubelet.pod import Pod
from kubelet.sync.observed import Address, PodSeen, Probed, Waiting
from kubelet.sync.status import StatusInputs, generate_status
from tests.unit.kubelet.pods import exited, make_pod, running, sandbox, seen

PROBE: dict[str, Any] = {"tcpSocket": {"port": 80}}
NOW = 1_700_000_000.0


def status(pod: Pod, what: PodSeen, **more: Any) -> dict[str, Any]:
    given = StatusInputs(
        pod=pod, seen=what, now=NOW, qos_class="BestEffort", address=Address(host_ips=("192.0.2.1",)), **more
    )
    return generate_status(given)


def condition(result: dict[str, Any], kind: str) -> dict[str, Any]:
    found: dict[str, Any] = next(c for c in result["conditions"] if c["type"] == kind)
    return found


def test_a_pod_not_begun_is_pending_and_creating() -> None:
    pod = make_pod("a")
    result = status(pod, seen(pod, sandboxes=()))
    assert result["phase"] == "Pending"
    assert result["containerStatuses"][0]["state"] == {"waiting": {"reason": "ContainerCreating"}}
    assert "podIP" not in result
    assert result["hostIP"] == "192.0.2.1"
    assert condition(result, "PodReadyToStartContainers")["status"] == "False"
    assert condition(result, "Ready") | {"lastTransitionTime": ""} == {
        "type": "Ready",
        "status": "False",
        "reason": "ContainersNotReady",
        "message": "containers with unready status: [a]",
        "lastProbeTime": None,
        "lastTransitionTime": "",
        "observedGeneration": 1,
    }


def test_a_running_pod_is_ready_with_its_address() -> None:
    pod = make_pod("a")
    result = status(pod, seen(pod, running(pod, "a")))
    assert result["phase"] == "Running"
    assert result["podIP"] == "10.0.0.5"
    assert result["podIPs"] == [{"ip": "10.0.0.5"}]
    assert {c["type"]: c["status"] for c in result["conditions"]} == {
        "PodReadyToStartContainers": "True",
        "Initialized": "True",
        "Ready": "True",
        "ContainersReady": "True",
        "PodScheduled": "True",
    }
    container = result["containerStatuses"][0]
    assert container["containerID"] == "containerd://a-0"
    assert container["ready"] is True
    assert container["started"] is True


@pytest.mark.parametrize(
    ("policy", "codes", "phase"),
    [
        ("Always", (0, 1), "Running"),
        ("OnFailure", (0, 0), "Succeeded"),
        ("OnFailure", (0, 1), "Running"),
        ("Never", (0, 0), "Succeeded"),
        ("Never", (0, 1), "Failed"),
    ],
)
def test_phase_of_a_pod_whose_containers_have_exited(policy: str, codes: tuple[int, int], phase: str) -> None:
    pod = make_pod("a", "b", policy=policy)
    result = status(pod, seen(pod, exited(pod, "a", codes[0]), exited(pod, "b", codes[1])))
    assert result["phase"] == phase


def test_a_terminal_phase_never_changes_again() -> None:
    pod = make_pod("a", status={"phase": "Succeeded"})
    assert status(pod, seen(pod, running(pod, "a")))["phase"] == "Succeeded"


def test_init_containers_hold_the_pod_pending() -> None:
    pod = make_pod("a", init=("i",))
    result = status(pod, seen(pod, running(pod, "i")))
    assert result["phase"] == "Pending"
    assert result["containerStatuses"][0]["state"] == {"waiting": {"reason": "PodInitializing"}}
    assert condition(result, "Initialized")["message"] == "containers with incomplete status: [i]"
    done = status(pod, seen(pod, running(pod, "a"), exited(pod, "i")))
    assert done["initContainerStatuses"][0]["ready"] is True
    assert condition(done, "Initialized")["status"] == "True"


def test_a_failed_init_container_fails_the_pod_under_never() -> None:
    pod = make_pod("a", init=("i",), policy="Never")
    assert status(pod, seen(pod, exited(pod, "i", 1)))["phase"] == "Failed"


def test_crash_loop_shows_waiting_and_the_last_exit() -> None:
    pod = make_pod("a")
    waiting = {"a": Waiting("CrashLoopBackOff", "back-off 10s", NOW + 10)}
    result = status(pod, seen(pod, exited(pod, "a", 2, attempt=3)), waiting=waiting)
    container = result["containerStatuses"][0]
    assert container["state"] == {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 10s"}}
    assert container["lastState"]["terminated"]["exitCode"] == 2
    assert container["lastState"]["terminated"]["reason"] == "Error"
    assert container["restartCount"] == 3
    assert result["phase"] == "Running"


def test_a_restarted_container_remembers_its_last_exit() -> None:
    pod = make_pod("a")
    result = status(pod, seen(pod, running(pod, "a", 1), exited(pod, "a", 137, reason="OOMKilled")))
    container = result["containerStatuses"][0]
    assert container["lastState"]["terminated"]["reason"] == "OOMKilled"
    assert container["restartCount"] == 1


def test_readiness_and_startup_probes_gate_readiness() -> None:
    pod = make_pod("a", extra={"a": {"readinessProbe": PROBE, "startupProbe": PROBE}})
    what = seen(pod, running(pod, "a"))
    first = status(pod, what)["containerStatuses"][0]
    assert (first["started"], first["ready"]) == (False, False)
    started = status(pod, what, probed=Probed(started=frozenset({"a-0"})))["containerStatuses"][0]
    assert (started["started"], started["ready"]) == (True, False)
    ready = status(pod, what, probed=Probed(started=frozenset({"a-0"}), ready=frozenset({"a-0"})))
    assert ready["containerStatuses"][0]["ready"] is True


def test_readiness_gates_count() -> None:
    gate = [{"conditionType": "example.com/ok"}]
    pod = make_pod("a", readinessGates=gate)
    assert condition(status(pod, seen(pod, running(pod, "a"))), "Ready")["reason"] == "ReadinessGatesNotReady"
    set_by_other = {"conditions": [{"type": "example.com/ok", "status": "True"}]}
    pod = make_pod("a", readinessGates=gate, status=set_by_other)
    result = status(pod, seen(pod, running(pod, "a")))
    assert condition(result, "Ready")["status"] == "True"
    assert condition(result, "example.com/ok") == {"type": "example.com/ok", "status": "True"}


def test_transition_time_is_kept_while_the_status_is_the_same() -> None:
    before = {"type": "Ready", "status": "True", "lastTransitionTime": "2020-01-01T00:00:00Z"}
    pod = make_pod("a", status={"conditions": [before]})
    kept = condition(status(pod, seen(pod, running(pod, "a"))), "Ready")
    assert kept["lastTransitionTime"] == "2020-01-01T00:00:00Z"
    changed = condition(status(pod, seen(pod, exited(pod, "a", 1))), "Ready")
    assert changed["lastTransitionTime"] == "2023-11-14T22:13:20Z"


def test_a_deleted_pod_ends_in_a_terminal_phase() -> None:
    pod = make_pod("a")
    assert status(pod, seen(pod, running(pod, "a")), terminal=True)["phase"] == "Running"
    killed = seen(pod, exited(pod, "a", 137), sandboxes=(sandbox(ready=False, ips=()),))
    assert status(pod, killed, terminal=True)["phase"] == "Failed"
    stopped = seen(pod, exited(pod, "a", 0), sandboxes=(sandbox(ready=False, ips=()),))
    assert status(pod, stopped, terminal=True)["phase"] == "Succeeded"


def test_host_network_pods_show_the_nodes_address() -> None:
    pod = make_pod("a", hostNetwork=True)
    result = status(pod, seen(pod, running(pod, "a"), sandboxes=(sandbox(ips=(), host_network=True),)))
    assert result["podIP"] == "192.0.2.1"
    assert result["phase"] == "Running"
