"""The apiserver on our store, beside what upstream's did on a quiet machine of this size: `python -m bench api`.

The same loads as were put on upstream, by wrk where it matters how little the generator costs.
Upstream's column is a record of another hour: on a machine that others use, only ratios of one run mean something.
Then the growth: how long lists take, what a pod costs in memory, and how free the loop stays, by number of pods.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import shutil
import statistics
import subprocess
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvloop

from bench import lean_http
from bench.cluster import proportional_memory
from kubeclient.etcd3 import EtcdClient
from kubeclient.kubeconfig import KubeConfig
from tests.integration.cluster_parts import ApiServer, Certificates, start_apiserver, start_store

NAMESPACE = "/api/v1/namespaces/bench"
PODS, MAPS = f"{NAMESPACE}/pods", f"{NAMESPACE}/configmaps"
TOKEN = "bench"
WATCHERS = 20
LISTS = 20
#: What is to be reached: times upstream's figure, which was measured on 2026-11-23.
UPSTREAM = {
    "create ConfigMap, 1 connection": (312.0, 1.5),
    "create ConfigMap, 32 connections": (1084.0, 2.0),
    "create 2000 pods, 16 connections": (438.0, 1.0),
    "get pod, 1 connection": (625.0, 1.0),
    "get pod, 32 connections": (2101.0, 2.0),
    "list 2000 pods, 1 connection": (5.9, 8.0),
    "list 2000 pods, 8 connections": (6.7, 8.0),
    "list by a label that none has, 4 connections": (800.0, 1.0),
    f"watch deliveries, {WATCHERS} watchers": (7500.0, 2.0),
}


def config_map(name: str) -> dict[str, Any]:
    return {"metadata": {"name": name, "labels": {"app": "bench"}}, "data": {"config.yaml": "a" * 400}}


def pod(name: str) -> dict[str, Any]:
    container = {
        "name": "app",
        "image": "registry.example/app:v1",
        "ports": [{"containerPort": 8080, "name": "http"}],
        "env": [{"name": "POD_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}],
        "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}, "limits": {"cpu": "500m", "memory": "256Mi"}},
        "readinessProbe": {"httpGet": {"path": "/healthz", "port": "http"}, "periodSeconds": 5},
        "volumeMounts": [{"name": "cfg", "mountPath": "/etc/app"}],
    }
    labels = {"app": "bench", "tier": "web", "pod-template-hash": "5d4f8c7b9"}
    volumes = [{"name": "cfg", "configMap": {"name": "app-config"}}]
    spec = {"schedulerName": "nobody", "containers": [container], "volumes": volumes}
    return {"metadata": {"name": name, "labels": labels}, "spec": spec}


@dataclass
class Bed:
    """A store and an apiserver, and ways to load them."""

    folder: Path
    seconds: float
    workers: int

    def __post_init__(self) -> None:
        os.environ["SKIFF_TEST_STORE"] = "ours"
        self._stack = ExitStack()
        (self.folder / "tokens.csv").write_text(f'{TOKEN},bench,1,"system:masters"\n')
        self.certificates = Certificates.create(self.folder / "pki")
        self.store = self._stack.enter_context(start_store(self.folder))
        self.start()

    def start(self) -> None:
        began = time.monotonic()
        flags = (f"--token-auth-file={self.folder / 'tokens.csv'}", f"--workers={self.workers}")
        self.server: ApiServer = start_apiserver(
            self.folder, self.store.url, *flags, certificates=self.certificates, port=0
        )
        self.ready_seconds = time.monotonic() - began
        self.config = KubeConfig.load(self.server.kubeconfig())

    def close(self) -> None:
        self.server.stop()
        self._stack.close()

    def megabytes(self) -> float:
        pid = self.server.process.pid
        pids = [pid, *map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())]
        return sum(map(proportional_memory, pids))

    def wrk(self, connections: int, path: str, body: dict[str, Any] | None = None) -> float:
        """Good answers per second."""
        command = ["wrk", f"-t{min(2, connections)}", f"-c{connections}", f"-d{self.seconds:g}s", "--timeout=30s"]
        environment = dict(os.environ, TOKEN_HEADER=f"Bearer {TOKEN}")
        if body is not None:
            command += ["-s", str(Path(__file__).with_name("create.lua"))]
            environment |= {"BODY": json.dumps(body), "PREFIX": f"w{time.monotonic_ns()}"}
        command += ["-H", f"Authorization: Bearer {TOKEN}", "-H", "Accept: application/json", self.server.url + path]
        said = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
        if "Non-2xx" in said:
            raise RuntimeError(f"{path}: {said}")
        found = re.search(r"Requests/sec:\s+([0-9.]+)", said)
        assert found is not None, said
        return float(found.group(1))

    def metrics(self) -> dict[str, float]:
        with self.server.http() as client:
            lines = client.get("/metrics").text.splitlines()
        return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines if line[:1] != "#"}


def loads(bed: Bed) -> dict[str, float]:
    """Figures under the names of UPSTREAM."""
    with bed.server.http() as client:
        client.post("/api/v1/namespaces", json={"metadata": {"name": "bench"}})
        client.post(f"{NAMESPACE}/serviceaccounts", json={"metadata": {"name": "default"}})
    found = {}
    for connections, words in ((1, "1 connection"), (32, "32 connections")):
        found[f"create ConfigMap, {words}"] = bed.wrk(connections, MAPS, config_map("NAME"))
    made = lean_http.rate(bed.config, 16, 2000, lambda c, n: c.prepared("POST", PODS, pod(f"p-{n}")))
    found["create 2000 pods, 16 connections"] = uvloop.run(made)
    for connections, words in ((1, "1 connection"), (32, "32 connections")):
        found[f"get pod, {words}"] = bed.wrk(connections, f"{PODS}/p-7")
    found["list 2000 pods, 1 connection"] = bed.wrk(1, f"{PODS}?resourceVersion=0")
    found["list 2000 pods, 8 connections"] = bed.wrk(8, PODS)
    found["list by a label that none has, 4 connections"] = bed.wrk(4, f"{PODS}?labelSelector=app%3Dnone")
    found[f"watch deliveries, {WATCHERS} watchers"] = uvloop.run(deliveries(bed))
    return found


async def deliveries(bed: Bed) -> float:
    with bed.server.http() as client:
        start = client.get(MAPS, params={"limit": "1"}).json()["metadata"]["resourceVersion"]
    watch = f"{MAPS}?watch=true&resourceVersion={start}&timeoutSeconds=300"
    return await lean_http.fan_out(
        bed.config, WATCHERS, 1000, watch, lambda c, n: c.prepared("POST", MAPS, config_map(f"f-{n}"))
    )


async def fill(bed: Bed, first: int, last: int) -> None:
    """Pods that go straight into the store, copies of one that went the whole way."""
    client = EtcdClient([bed.store.url])
    try:
        model = await client.get(b"/registry/pods/bench/p-7")
        assert model is not None, "loads() makes it"
        numbers = iter(range(first, last))

        async def work() -> None:
            for number in numbers:
                value = model.value.replace(b'"name":"p-7"', b'"name":"g-%d"' % number)
                await client.put(b"/registry/pods/bench/g-%d" % number, value)

        async with asyncio.TaskGroup() as group:
            for _ in range(32):
                group.create_task(work())
    finally:
        await client.close()


@dataclass(frozen=True, slots=True)
class Growth:
    pods: int
    listing: float
    megabytes: float
    per_pod: float
    lag: float
    pause: float
    ready: float

    def __str__(self) -> str:
        return (
            f"{self.pods:8d}{self.listing * 1000:10.1f}{self.listing / self.megabytes * 1000:10.2f}"
            f"{self.per_pod:12.0f}{self.lag * 1000:12.0f}{self.pause * 1000:12.1f}{self.ready:10.1f}"
        )


GROWTH = (
    f"{'pods':>8}{'list ms':>10}{'ms per MB':>10}{'B over size':>12}{'lag p99 ms':>12}{'GC most ms':>12}{'ready s':>10}"
)


def growth(bed: Bed, pods: int, empty: float) -> Growth:
    """`empty` is what the apiserver weighs without pods; it starts anew, so that nothing but them lies in memory."""
    bed.server.stop()
    bed.start()
    with bed.server.http() as client:
        time.sleep(1.0)
        weight = bed.megabytes() - empty
        client.get(PODS, params={"limit": "1"})
    listings, size = uvloop.run(list_times(bed))
    before = bed.metrics()
    uvloop.run(many_lists(bed))
    after = bed.metrics()
    per_pod = weight * 1e6 / pods - size / pods
    pause = max(value for name, value in after.items() if name.startswith("skiff_gc_pause_longest_seconds"))
    lag = quantile(before, after, 0.99)
    return Growth(pods, statistics.median(listings), size / 1e6, per_pod, lag, pause, bed.ready_seconds)


async def list_times(bed: Bed) -> tuple[list[float], int]:
    connection = await lean_http.Connection.open(bed.config, bed.config.ssl_context())
    request = connection.prepared("GET", f"{PODS}?resourceVersion=0")
    times, size = [], 0
    for _ in range(8):
        began = time.monotonic()
        size = len(await connection.exchange(request))
        times.append(time.monotonic() - began)
    connection.close()
    return times[1:], size


async def many_lists(bed: Bed, seconds: float = 10.0) -> None:
    """Clients who list without pause, each by a new view every time, while the apiserver looks at its loop."""
    end = time.monotonic() + seconds

    async def one() -> None:
        connection = await lean_http.Connection.open(bed.config, bed.config.ssl_context())
        while time.monotonic() < end:
            await connection.exchange(connection.prepared("GET", PODS))
        connection.close()

    async with asyncio.TaskGroup() as group:
        for _ in range(LISTS):
            group.create_task(one())


def quantile(before: dict[str, float], after: dict[str, float], share: float) -> float:
    """The upper bound of the bucket in which it lies."""
    counts: dict[float, float] = {}
    for name, value in after.items():
        if name.startswith("skiff_event_loop_lag_seconds_bucket"):
            bound = float(name.partition('le="')[2].partition('"')[0])
            counts[bound] = counts.get(bound, 0.0) + value - before.get(name, 0.0)
    total = counts[float("inf")]
    return min((bound for bound, count in counts.items() if count >= share * total), default=0.0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=4.0, help="length of each load")
    parser.add_argument("--pods", type=int, default=10_000, help="how far to grow; 50000 takes some minutes")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--loads-only", action="store_true", help="leave the growth out")
    arguments = parser.parse_args()
    if shutil.which("wrk") is None:
        parser.error("wrk makes the load: apt-get install wrk")
    folder = Path(tempfile.mkdtemp(prefix="skiff-bench-"))
    bed = Bed(folder, arguments.seconds, arguments.workers)
    try:
        report(bed, arguments)
    finally:
        bed.close()
        shutil.rmtree(folder)


def report(bed: Bed, arguments: argparse.Namespace) -> None:
    empty = bed.megabytes()
    print(f"ready after {bed.ready_seconds:.1f} s, {empty:.0f} MB (PSS)\n\n{'':46}{'ours':>9}{'upstream':>10}", end="")
    print(f"{'ratio':>8}{'wanted':>8}")
    for name, ours in loads(bed).items():
        upstream, wanted = UPSTREAM[name]
        print(f"{name:46}{ours:9.1f}{upstream:10.1f}{ours / upstream:8.2f}{wanted:8.1f}", flush=True)
    if arguments.loads_only:
        return
    with bed.server.http() as client:
        client.delete(MAPS)
    print(f"\n{GROWTH}")
    have = 2000
    for pods in (2000, *(n for n in (10_000, 50_000) if n <= arguments.pods)):
        if pods > have:
            uvloop.run(fill(bed, have, pods))
            have = pods
        print(growth(bed, pods, empty), flush=True)
