"""Small worlds for scheduler tests: nodes and pods in a line each, and a cluster that records what is written."""

from typing import Any

import msgspec

from apimachinery.errors import StatusError
from scheduler.views import Node, Pod


def make_node(name: str, cpu: str = "4", memory: str = "8Gi", pods: int = 110, **more: Any) -> Node:
    body = {
        "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name, **more.pop("labels", {})}},
        "spec": {"taints": more.pop("taints", []), "unschedulable": more.pop("unschedulable", False)},
        "status": {"allocatable": {"cpu": cpu, "memory": memory, "pods": str(pods), **more.pop("extended", {})}},
    }
    assert not more, more
    return msgspec.convert(body, Node)


def make_pod(name: str, cpu: str = "", memory: str = "", node: str = "", **spec: Any) -> Pod:
    requests = {key: value for key, value in (("cpu", cpu), ("memory", memory)) if value}
    labels = spec.pop("labels", {})
    meta = {"name": name, "namespace": "default", "uid": f"uid-{name}", "labels": labels}
    ports = [{"containerPort": port, "hostPort": port} for port in spec.pop("hostPorts", ())]
    container = {"name": "c", "resources": {"requests": requests}, "ports": ports}
    body = {"metadata": meta, "spec": {"containers": [container], "nodeName": node, **spec}}
    return msgspec.convert(body, Pod)


class RecordingCluster:
    def __init__(self) -> None:
        self.bound: dict[str, str] = {}
        self.conditions: dict[str, str] = {}
        self.evicted: list[str] = []
        self.nominated: dict[str, str] = {}
        self.events: list[tuple[str, str, str]] = []
        self.refuse: list[StatusError] = []

    async def bind(self, pod: Pod, node: str) -> None:
        if self.refuse:
            raise self.refuse.pop(0)
        self.bound[pod.metadata.name] = node

    async def mark_unschedulable(self, pod: Pod, message: str, now: float) -> None:
        self.conditions[pod.metadata.name] = message

    async def nominate(self, pod: Pod, node: str) -> None:
        self.nominated[pod.metadata.name] = node

    async def evict(self, victim: Pod, by: Pod, now: float) -> None:
        self.evicted.append(victim.metadata.name)

    def event(self, pod: Pod, type: str, reason: str, message: str) -> None:
        self.events.append((pod.metadata.name, reason, message))
