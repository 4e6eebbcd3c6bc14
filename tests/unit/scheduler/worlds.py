"""Small worlds for scheduler tests: nodes and pods in a line each, and a cluster that records what is written."""

from collections.abc import Sequence
from typing import Any

import msgspec

from apimachinery.errors import StatusError
from kubeclient.volumes import BIND_COMPLETED, Claim, StorageClass, Volume
from scheduler.plugins.volume_binding import Binding
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


class MemoryStorage:
    """Claims, volumes and classes of one namespace, as the VolumeBinding plugin asks for them."""

    def __init__(self) -> None:
        self.claims: dict[str, Claim] = {}
        self.volumes: dict[str, Volume] = {}
        self.classes: dict[str, StorageClass] = {}

    def add_claim(self, name: str, class_name: str = "", volume: str = "", size: str = "1Gi") -> None:
        notes = {BIND_COMPLETED: "yes"} if volume else {}
        meta = {"name": name, "namespace": "default", "uid": f"uid-{name}", "annotations": notes}
        modes = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": size}}}
        spec = {"storageClassName": class_name, "volumeName": volume, **modes}
        self.claims[f"default/{name}"] = msgspec.convert({"metadata": meta, "spec": spec}, Claim)

    def add_volume(self, name: str, class_name: str = "", zone: str = "", size: str = "1Gi") -> None:
        spec: dict[str, Any] = {"capacity": {"storage": size}, "accessModes": ["ReadWriteOnce"]}
        spec["storageClassName"] = class_name
        if zone:
            term = {"matchExpressions": [{"key": "zone", "operator": "In", "values": [zone]}]}
            spec["nodeAffinity"] = {"required": {"nodeSelectorTerms": [term]}}
        body = {"metadata": {"name": name}, "spec": spec, "status": {"phase": "Available"}}
        self.volumes[name] = msgspec.convert(body, Volume)

    def add_class(
        self, name: str, mode: str, maker: str = "kubernetes.io/no-provisioner", zones: Sequence[str] = ()
    ) -> None:
        expressions = [{"matchLabelExpressions": [{"key": "zone", "values": zones}]}] if zones else []
        body = {"metadata": {"name": name}, "provisioner": maker, "volumeBindingMode": mode}
        self.classes[name] = msgspec.convert({**body, "allowedTopologies": expressions}, StorageClass)

    def claim(self, key: str) -> Claim | None:
        return self.claims.get(key)

    def volume(self, name: str) -> Volume | None:
        return self.volumes.get(name)

    def storage_class(self, name: str) -> StorageClass | None:
        return self.classes.get(name)

    def volumes_of_class(self, name: str) -> Sequence[Volume]:
        return [volume for volume in self.volumes.values() if volume.class_name == name]


class RecordingCluster:
    def __init__(self) -> None:
        self.bound: dict[str, str] = {}
        self.volumes: list[tuple[str, str, str]] = []
        self.conditions: dict[str, str] = {}
        self.evicted: list[str] = []
        self.nominated: dict[str, str] = {}
        self.events: list[tuple[str, str, str]] = []
        self.refuse: list[StatusError] = []

    async def bind(self, pod: Pod, node: str) -> None:
        if self.refuse:
            raise self.refuse.pop(0)
        self.bound[pod.metadata.name] = node

    async def bind_volumes(self, bindings: Sequence[Binding], node: str) -> Sequence[Binding]:
        self.volumes += [(b.claim.metadata.name, b.volume.metadata.name if b.volume else "", node) for b in bindings]
        return bindings

    async def mark_unschedulable(self, pod: Pod, message: str, now: float) -> None:
        self.conditions[pod.metadata.name] = message

    async def nominate(self, pod: Pod, node: str) -> None:
        self.nominated[pod.metadata.name] = node

    async def evict(self, victim: Pod, by: Pod, now: float) -> None:
        self.evicted.append(victim.metadata.name)

    def event(self, pod: Pod, type: str, reason: str, message: str) -> None:
        self.events.append((pod.metadata.name, reason, message))
