"""The limits of a pod's own cgroup."""

from __future__ import annotations

from kubelet.containers.resources import MIN_SHARES, cpu_shares, pod_cgroup
from tests.unit.kubelet.pods import make_pod

HALF = {"resources": {"requests": {"cpu": "500m"}, "limits": {"cpu": "500m", "memory": "64Mi"}}}


def test_limits_add_up_if_every_container_has_one() -> None:
    found = pod_cgroup(make_pod("a", "b", extra={"a": HALF, "b": HALF}))
    assert (found.shares, found.quota, found.memory) == (1024, 100_000, 128 << 20)
    found = pod_cgroup(make_pod("a", "b", extra={"a": HALF}))
    assert (found.shares, found.quota, found.memory) == (cpu_shares(500), None, None)


def test_an_init_step_runs_beside_the_sidecars_before_it() -> None:
    pod = make_pod("a", init=("s", "i"), sidecars=("s",), extra={"a": HALF, "s": HALF, "i": HALF})
    step = {"resources": {"limits": {"cpu": "2", "memory": "1Gi"}}}
    dear = make_pod("a", init=("s", "i"), sidecars=("s",), extra={"a": HALF, "s": HALF, "i": step})
    assert pod_cgroup(pod).memory == 128 << 20
    assert pod_cgroup(dear).memory == (1 << 30) + (64 << 20)


def test_limits_of_the_pod_stand_for_those_of_its_containers() -> None:
    pod = make_pod("a", "b", extra={"a": HALF}, resources={"limits": {"memory": "1Gi"}, "requests": {"cpu": "2"}})
    found = pod_cgroup(pod)
    assert (found.shares, found.quota, found.memory) == (2048, None, 1 << 30)


def test_who_asks_for_nothing_gets_the_least() -> None:
    assert pod_cgroup(make_pod("a")).shares == MIN_SHARES
