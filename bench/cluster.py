"""A whole cluster, from `skiff up` to the first pod Ready, then loads on its apiserver, in a namespace of its own."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kubeclient.kubeconfig import KubeConfig
from kubeclient.rest import RestClient
from tests.e2e.cluster import Cluster

IMAGE = "skiff.local/toolbox:latest"
SERVICES = ("etcd", "apiserver", "controller_manager", "scheduler", "kubelet", "cri_shim", "kube_proxy", "cluster_dns")
WATCHERS = 20


@dataclass(frozen=True, slots=True)
class Figure:
    what: str
    value: str


def proportional_memory(pid: int) -> float:
    """PSS in MB: shared pages are counted by share."""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    found = re.search(r"^Pss:\s+(\d+) kB", text, re.MULTILINE)
    return int(found.group(1)) / 1000 if found else 0.0


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


def pod(name: str, **spec: Any) -> dict[str, Any]:
    container = {"name": "c", "image": IMAGE, "imagePullPolicy": "IfNotPresent", "command": ["sleep", "3600"]}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"bench": "yes"}},
        "spec": {"containers": [container], "terminationGracePeriodSeconds": 0, **spec},
    }


PODS = "/api/v1/namespaces/bench/pods"


async def rate(count: int, connections: int, call: Callable[[int], Awaitable[Any]]) -> float:
    """Calls per second, `connections` at a time."""
    numbers = iter(range(count))

    async def worker() -> None:
        for number in numbers:
            await call(number)

    began = time.monotonic()
    await asyncio.gather(*(worker() for _ in range(connections)))
    return count / (time.monotonic() - began)


async def pod_to_ready(client: RestClient, name: str) -> float:
    began = time.monotonic()
    await client.create(PODS, pod(name))
    async for event in client.watch(PODS, {"fieldSelector": f"metadata.name={name}", "timeoutSeconds": "60"}):
        conditions = json.loads(event.object).get("status", {}).get("conditions") or []
        if any(c["type"] == "Ready" and c["status"] == "True" for c in conditions):
            return time.monotonic() - began
    raise RuntimeError(f"{name} did not become ready")


async def load(client: RestClient) -> list[Figure]:
    await client.create("/api/v1/namespaces", {"metadata": {"name": "bench"}})
    await asyncio.sleep(1)  # its ServiceAccount
    figures = []
    starts = sorted([await pod_to_ready(client, f"one-{n}") for n in range(5)])
    figures.append(Figure("one pod, create to Ready (median of 5)", f"{starts[2]:.2f} s"))
    await client.delete(PODS)
    maps = "/api/v1/namespaces/bench/configmaps"
    for connections, count in ((1, 300), (32, 2000)):
        body = {"data": {"key": "x" * 200}}

        async def create(number: int, at: int = connections, content: dict[str, Any] = body) -> None:
            await client.create(maps, {"metadata": {"name": f"m-{at}-{number}"}, **content})

        found = await rate(count, connections, create)
        figures.append(Figure(f"create ConfigMap, {connections} connection(s)", f"{found:.0f}/s"))
    reads = await rate(2000, 32, lambda number: client.get_bytes(f"{maps}/m-32-{number}"))
    figures.append(Figure("get, 32 connections", f"{reads:.0f}/s"))
    held = {"schedulerName": "nobody"}
    await rate(2000, 16, lambda number: client.create(PODS, pod(f"held-{number}", **held)))
    lists = await rate(40, 1, lambda number: client.get_bytes(PODS))
    figures.append(Figure("list 2000 pods, 1 connection", f"{lists:.1f}/s"))
    figures.append(Figure("watch deliveries, 20 watchers", f"{await deliveries(client, maps):.0f}/s"))
    return figures


async def deliveries(client: RestClient, maps: str, count: int = 500) -> float:
    """Events received by all watchers while objects are created."""
    received = 0

    async def watch() -> None:
        nonlocal received
        seen = 0
        async for _ in client.watch(maps, {"resourceVersion": start}):
            received += 1
            seen += 1
            if seen == count:
                return

    start = str((await client.get(maps, {"limit": "1"}))["metadata"]["resourceVersion"])
    watchers = [asyncio.ensure_future(watch()) for _ in range(WATCHERS)]
    await asyncio.sleep(0.5)
    began = time.monotonic()
    await rate(count, 16, lambda number: client.create(maps, {"metadata": {"name": f"w-{number}"}}))
    await asyncio.gather(*watchers)
    return received / (time.monotonic() - began)


async def schedule(client: RestClient, count: int = 200, nodes: int = 100) -> Figure:
    """Pods bound per second over fake nodes that only this load tolerates."""
    for number in range(nodes):
        name = f"fake-{number}"
        node = {
            "metadata": {"name": name, "labels": {"fake": "yes", "kubernetes.io/hostname": name}},
            "spec": {"taints": [{"key": "fake", "effect": "NoSchedule"}]},
        }
        await client.create("/api/v1/nodes", node)
        capacity = {"cpu": "64", "memory": "256Gi", "pods": "500"}
        ready = [{"type": "Ready", "status": "True"}]
        status = {"status": {"capacity": capacity, "allocatable": capacity, "conditions": ready}}
        await client.patch(f"/api/v1/nodes/{name}/status", status)
    spec = {"nodeSelector": {"fake": "yes"}, "tolerations": [{"operator": "Exists"}]}
    version = (await client.get(PODS, {"limit": "1"}))["metadata"]["resourceVersion"]
    began = time.monotonic()
    making = asyncio.ensure_future(rate(count, 16, lambda number: client.create(PODS, pod(f"s-{number}", **spec))))
    bound: set[str] = set()
    async for event in client.watch(PODS, {"resourceVersion": version, "timeoutSeconds": "120"}):
        found = json.loads(event.object)
        if found["metadata"]["name"].startswith("s-") and found["spec"].get("nodeName"):
            bound.add(found["metadata"]["name"])
            if len(bound) == count:
                break
    took = time.monotonic() - began
    await making
    return Figure(f"pods created and bound, {nodes} nodes", f"{count / took:.0f}/s")


def idle(cluster: Cluster, seconds: float = 20.0) -> list[Figure]:
    pids = cluster.pids()
    before = {name: cpu_seconds(pids[name]) for name in SERVICES}
    time.sleep(seconds)
    figures = []
    for name in SERVICES:
        share = (cpu_seconds(pids[name]) - before[name]) / seconds * 100
        figures.append(Figure(f"idle: {name}", f"{proportional_memory(pids[name]):.0f} MB PSS, {share:.1f} % CPU"))
    return figures


def in_network(cluster: Cluster) -> None:
    """Enter the cluster's network for the rest of this process."""
    import ctypes
    import os

    descriptor = os.open(f"/run/netns/{cluster.namespace}", os.O_RDONLY)
    if ctypes.CDLL(None, use_errno=True).setns(descriptor, 0x40000000) != 0:
        raise OSError(ctypes.get_errno(), "cannot enter the network namespace")


async def measure(cluster: Cluster) -> list[Figure]:
    client = RestClient(KubeConfig.load(cluster.kubeconfig), "bench", max_connections=128)
    try:
        figures = await load(client)
        figures.append(await schedule(client))
        return figures
    finally:
        await client.close()


def run() -> list[Figure]:
    """About two minutes; needs root."""
    folder = Path(tempfile.mkdtemp(prefix="skb-", dir="/var/lib"))
    cluster = Cluster(folder / "s", namespace="skiff-bench")
    cluster.make_network()
    try:
        began = time.monotonic()
        cluster.up()
        figures = [Figure("skiff up until the node is Ready", f"{time.monotonic() - began:.1f} s")]
        time.sleep(5)
        figures += idle(cluster)
        in_network(cluster)
        figures += asyncio.run(measure(cluster))
        return figures
    finally:
        cluster.skiff("down", "--purge", check=False)
        cluster.remove_network()
        shutil.rmtree(folder, ignore_errors=True)
        subprocess.run(["ip", "netns", "delete", cluster.namespace], check=False, capture_output=True)
