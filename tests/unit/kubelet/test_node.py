"""The Node object, its pressures, its Lease, its network configuration."""

import json
from pathlib import Path
from typing import Any

import pytest

from component_base.clock import ManualClock
from component_base.tasks import spawn
from kubelet.agent import NodeState
from kubelet.cri.runtime import RuntimeCondition
from kubelet.node import document, network
from kubelet.node.document import Health, NodeReport, node_status, same_status, status_patch, transitions
from kubelet.node.keeper import NodeKeeper
from kubelet.node.lease import COLLECTION, NodeLease
from kubelet.node.machine import Disk, Machine
from kubelet.node.pressure import Levels, choose, judge
from kubelet.settings import Settings
from tests.unit.kubelet.fake_api import FakeApi, RecordedEvents
from tests.unit.kubelet.fake_runtime import FakeRuntime
from tests.unit.kubelet.pods import make_pod
from tests.unit.kubelet.turns import settled, without_threads

MACHINE = Machine(4, 8 << 30, "6.1", "Debian", "id", "uuid", "boot", "amd64", huge_pages=(("2Mi", 0),))
DISK = Disk(100 << 30, 50 << 30, 1000, 900)


def report(health: Health = Health(), **settings: Any) -> NodeReport:  # noqa: B008
    chosen = Settings(
        "node-1",
        eviction_hard={"memory.available": "100Mi", "nodefs.available": "10%"},
        labels={"zone": "a"},
        **settings,
    )
    return NodeReport(chosen, MACHINE, DISK, ["192.0.2.1"], "node-1", "containerd://1.6", health)


def test_a_new_node_says_what_the_machine_offers() -> None:
    node = document.new_node(report(taints=({"key": "k", "effect": "NoSchedule"},)), 0.0)
    assert node["metadata"]["labels"]["kubernetes.io/arch"] == "amd64"
    assert node["metadata"]["labels"]["zone"] == "a"
    assert node["spec"]["taints"] == [{"key": "k", "effect": "NoSchedule"}]
    status = node["status"]
    assert status["capacity"] == {
        "cpu": "4",
        "ephemeral-storage": "104857600Ki",
        "hugepages-2Mi": "0",
        "memory": "8388608Ki",
        "pods": "110",
    }
    assert status["allocatable"]["memory"] == "8286208Ki"
    assert status["allocatable"]["ephemeral-storage"] == str(90 << 30)
    assert status["addresses"] == [
        {"type": "InternalIP", "address": "192.0.2.1"},
        {"type": "Hostname", "address": "node-1"},
    ]


def test_reserved_resources_leave_less() -> None:
    status = node_status(report(reserved={"cpu": "500m"}), {}, 0.0)
    assert status["allocatable"]["cpu"] == "3500m"


def test_conditions_keep_their_transition_until_they_change() -> None:
    first = node_status(report(), {}, 100.0)
    second = node_status(report(), first, 200.0)
    ready = {c["type"]: c for c in second["conditions"]}["Ready"]
    assert (ready["status"], ready["reason"]) == ("True", "KubeletReady")
    assert ready["lastTransitionTime"] == "1970-01-01T00:01:40Z"
    assert ready["lastHeartbeatTime"] == "1970-01-01T00:03:20Z"
    assert same_status(first, second)
    assert transitions(second, first) == []
    third = node_status(report(Health(("network not ready",), memory_pressure=True)), second, 300.0)
    assert transitions(third, second) == ["NodeHasInsufficientMemory", "NodeNotReady"]
    assert not same_status(second, third)


def test_addresses_are_replaced_as_a_whole() -> None:
    before = node_status(report(), {}, 0.0)
    moved = {**before, "addresses": [{"type": "InternalIP", "address": "192.0.2.9"}]}
    assert status_patch(moved, before)["status"]["addresses"][-1] == {"$patch": "replace"}


def test_images_are_listed_by_size() -> None:
    listed = document.image_list([(["small"], 1), (["big"], 9), ([], 100)])
    assert listed == [{"names": ["big"], "sizeBytes": 9}, {"names": ["small"], "sizeBytes": 1}]


@pytest.mark.parametrize(
    ("available", "free", "expected"),
    [
        (99 << 20, 50 << 30, Health(memory_pressure=True)),
        (101 << 20, 9 << 30, Health(disk_pressure=True)),
        (101 << 20, 11 << 30, Health()),
    ],
)
def test_pressure(available: int, free: int, expected: Health) -> None:
    levels = Levels(8 << 30, available, Disk(100 << 30, free, 1000, 900), 100, 1000)
    assert judge(levels, {"memory.available": "100Mi", "nodefs.available": "10%"}) == expected


def test_who_uses_most_above_its_request_goes_first() -> None:
    asks = {"a": {"resources": {"requests": {"memory": "100Mi"}}}}
    modest, greedy = make_pod("a", extra=asks), make_pod("a", extra=asks)
    import msgspec

    greedy = msgspec.structs.replace(greedy, metadata=msgspec.structs.replace(greedy.metadata, uid="greedy"))
    critical = make_pod("a", priority=2_000_001_000)
    chosen = choose([modest, greedy, critical], {modest.uid: 120 << 20, "greedy": 300 << 20})
    assert chosen is greedy
    assert choose([critical], {}) is None


async def test_the_lease_is_created_then_renewed() -> None:
    api, clock = FakeApi(), ManualClock(1000.0)
    lease = NodeLease(api, clock, "node-1", 40)
    await lease.renew("uid-node")
    body = api.objects[f"{COLLECTION}/node-1"]
    assert body["spec"]["renewTime"] == "1970-01-01T00:16:40.000000Z"
    assert body["metadata"]["ownerReferences"][0]["uid"] == "uid-node"
    clock.advance(10)
    await lease.renew("uid-node")
    assert api.objects[f"{COLLECTION}/node-1"]["spec"]["renewTime"] == "1970-01-01T00:16:50.000000Z"


def test_the_network_configuration_gives_addresses_of_the_pod_cidr(tmp_path: Path) -> None:
    text = network.configuration(["10.244.1.0/24", "fd00::/64"], tmp_path)
    bridge, ports = json.loads(text)["plugins"]
    assert bridge["ipam"]["ranges"] == [[{"subnet": "10.244.1.0/24"}], [{"subnet": "fd00::/64"}]]
    assert bridge["ipam"]["routes"] == [{"dst": "0.0.0.0/0"}, {"dst": "::/0"}]
    assert (bridge["hairpinMode"], bridge["ipMasq"]) == (True, False)
    assert ports["capabilities"] == {"portMappings": True}
    assert network.write_configuration(tmp_path / "cni", text)
    assert not network.write_configuration(tmp_path / "cni", text)
    assert [p.name for p in (tmp_path / "cni").iterdir()] == [network.FILE]


def test_switches_are_set_where_they_differ(tmp_path: Path) -> None:
    for name in network.SWITCHES:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("0\n")
    network.set_switches(["10.0.0.0/24"], tmp_path)
    assert all((tmp_path / name).read_text() == "1" for name in network.SWITCHES)


class Bench:
    """A keeper with a runtime of records."""

    def __init__(self, folder: Path) -> None:
        self.api, self.clock, self.events = FakeApi(), ManualClock(1000.0), RecordedEvents()
        self.runtime = FakeRuntime(self.clock)
        without_threads()
        self.state = NodeState(ips=("192.0.2.1",))
        self.ready = 0
        settings = Settings("node-1", root=folder, node_status_seconds=10.0)
        self.keeper = NodeKeeper(
            settings=settings,
            api=self.api,
            runtime=self.runtime,
            images=self.runtime,
            events=self.events,
            clock=self.clock,
            machine=MACHINE,
            state=self.state,
            pressures=Health,
            pleg_complaint=lambda: "",
            port=lambda: 10250,
            network_ready=self._network_ready,
        )

    def _network_ready(self) -> None:
        self.ready += 1

    async def settle(self, seconds: float = 0.0) -> None:
        for _ in range(int(seconds / 0.5) + 1):
            self.clock.advance(0.5 if seconds else 0.0)
            await settled()


async def test_a_node_registers_becomes_ready_and_stays_deleted(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.runtime.network = RuntimeCondition(False, "NetworkPluginNotReady", "no configuration")
    tasks = [spawn(work, "keeper") for work in (bench.keeper.run(), bench.keeper.follow_node())]
    await bench.settle()
    assert bench.api.condition_of_node("Ready") == "False"
    assert "no configuration" in bench.state.network_complaint
    bench.runtime.network = RuntimeCondition(True)
    await bench.settle(1.0)
    assert bench.api.condition_of_node("Ready") == "True"
    assert (bench.ready, bench.state.network_complaint) == (1, "")
    assert bench.events.reasons[0] == "Starting"
    assert bench.events.reasons[-1] == "NodeReady"
    bench.runtime.fail["version"] = "down"
    await bench.settle(20.0)
    assert bench.api.condition_of_node("Ready") == "True"
    await bench.settle(30.0)
    assert bench.api.condition_of_node("Ready") == "False"
    bench.runtime.fail.clear()
    await bench.settle(2.0)
    assert bench.api.condition_of_node("Ready") == "True"
    bench.api.drop("/api/v1/nodes/node-1")
    await bench.settle(30.0)
    assert "/api/v1/nodes/node-1" not in bench.api.objects
    for task in tasks:
        task.cancel()


async def test_a_known_node_keeps_what_others_put_on_it(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.api.put(
        "/api/v1/nodes/node-1",
        {"kind": "Node", "metadata": {"name": "node-1", "labels": {"mine": "yes"}}, "spec": {"taints": [{"key": "t"}]}},
    )
    tasks = [spawn(work, "keeper") for work in (bench.keeper.run(), bench.keeper.follow_node())]
    await bench.settle(1.0)
    node = bench.api.objects["/api/v1/nodes/node-1"]
    assert node["metadata"]["labels"]["mine"] == "yes"
    assert node["metadata"]["labels"]["kubernetes.io/hostname"] == "node-1"
    assert node["status"]["nodeInfo"]["kubeletVersion"].startswith("v1.36")
    assert bench.state.taints == [{"key": "t"}]
    for task in tasks:
        task.cancel()
