"""A whole cluster, from `skiff up` to the first pod Ready, then loads on its apiserver, in a namespace of its own."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from apimachinery.errors import StatusError
from bench import lean_http
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


async def pod_to_ready(client: RestClient, name: str) -> float:
    began = time.monotonic()
    await client.create(PODS, pod(name))
    async for event in client.watch(PODS, {"fieldSelector": f"metadata.name={name}", "timeoutSeconds": "60"}):
        conditions = json.loads(event.object).get("status", {}).get("conditions") or []
        if any(c["type"] == "Ready" and c["status"] == "True" for c in conditions):
            return time.monotonic() - began
    raise RuntimeError(f"{name} did not become ready")


MAPS = "/api/v1/namespaces/bench/configmaps"


def named_map(prefix: str) -> lean_http.Request:
    """POSTs of small ConfigMaps, each with a name of its own."""

    def request(connection: lean_http.Connection, number: int) -> bytes:
        body = {"metadata": {"name": f"{prefix}-{number}"}, "data": {"key": "x" * 200}}
        return connection.prepared("POST", MAPS, body)

    return request


def read_pod(connection: lean_http.Connection, number: int) -> bytes:
    return connection.prepared("GET", f"{PODS}/held-{number % 2000}")


async def load(client: RestClient, config: KubeConfig) -> list[Figure]:
    """The apiserver under load. Pods that nobody schedules fill the lists."""
    figures = []
    for connections, count in ((1, 500), (32, 3000)):
        found = await lean_http.rate(config, connections, count, named_map(f"m{connections}"))
        figures.append(Figure(f"create ConfigMap, {connections} connection(s)", f"{found:.0f}/s"))
    held = {"schedulerName": "nobody"}
    made = await lean_http.rate(config, 16, 2000, lambda c, n: c.prepared("POST", PODS, pod(f"held-{n}", **held)))
    figures.append(Figure("create pod, 16 connections", f"{made:.0f}/s"))
    for connections, count in ((1, 2000), (32, 8000)):
        found = await lean_http.rate(
            config, connections, count, lambda c, n: c.prepared("GET", f"{PODS}/held-{n % 2000}")
        )
        figures.append(Figure(f"get pod, {connections} connection(s)", f"{found:.0f}/s"))
    found = await lean_http.rate(config, 1, 60, lambda c, n: c.prepared("GET", PODS))
    figures.append(Figure("list 2000 pods, 1 connection", f"{found:.1f}/s"))
    start = (await client.get(MAPS, {"limit": "1"}))["metadata"]["resourceVersion"]
    watch = f"{MAPS}?watch=true&resourceVersion={start}&timeoutSeconds=300"
    found = await lean_http.fan_out(config, WATCHERS, 1000, watch, named_map("w"))
    figures.append(Figure(f"watch deliveries, {WATCHERS} watchers, while creating", f"{found:.0f}/s"))
    return figures


async def first_pods(client: RestClient, began: float) -> list[Figure]:
    """How long until the first pod is Ready after `skiff up` began, and how long a pod takes then."""
    await client.create("/api/v1/namespaces", {"metadata": {"name": "bench"}})
    account = "/api/v1/namespaces/bench/serviceaccounts/default"
    for _ in range(100):
        try:
            await client.get(account)
            break
        except StatusError:
            await asyncio.sleep(0.05)
    await pod_to_ready(client, "first")
    figures = [Figure("skiff up until the first pod is Ready", f"{time.monotonic() - began:.1f} s")]
    starts = sorted([await pod_to_ready(client, f"one-{n}") for n in range(5)])
    figures.append(Figure("one pod, create to Ready (median of 5)", f"{starts[2]:.2f} s"))
    await client.delete(PODS)
    return figures


async def schedule(client: RestClient, count: int = 1000, nodes: int = 100) -> Figure:
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
    making = asyncio.ensure_future(
        lean_http.rate(client.config, 16, count, lambda c, n: c.prepared("POST", PODS, pod(f"s-{n}", **spec)))
    )
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


async def measure(cluster: Cluster, began: float) -> list[Figure]:
    config = KubeConfig.load(cluster.kubeconfig)
    client = RestClient(config, "bench")
    try:
        figures = await first_pods(client, began)
        await asyncio.sleep(10)
        figures += await asyncio.to_thread(idle, cluster)
        figures += await load(client, config)
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
        in_network(cluster)
        figures += lean_http.run(measure(cluster, began))
        return figures
    finally:
        cluster.skiff("down", "--purge", check=False)
        cluster.remove_network()
        shutil.rmtree(folder, ignore_errors=True)
        subprocess.run(["ip", "netns", "delete", cluster.namespace], check=False, capture_output=True)
