"""How the apiserver grows with the number of pods: `python -m bench growth --pods 50000`.

How long lists take, what a pod costs in memory over its encoded size, how free the loop stays while twenty clients list
without pause, how long the collector halts it, and how long a start takes with the pods in the store. Generator and
store share the machine's cores with the apiserver; CPU seconds are the apiserver's own.
"""

from __future__ import annotations

import argparse
import asyncio
import shutil
import statistics
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import uvloop

from bench import lean_http
from bench.bed import NAMESPACE, PODS, Bed, pod
from kubeclient.etcd3 import EtcdClient

LISTS = 20
MODEL = "p-7"
STEPS = (1_000, 10_000, 50_000)
HEAD = (
    f"{'pods':>8}{'list ms':>10}{'ms per MB':>10}{'B over size':>12}{'lag p99 ms':>12}{'most ms':>9}"
    f"{'GC most ms':>12}{'ready s':>9}{'CPU s':>7}{'lists/s':>9}"
)


@dataclass(frozen=True, slots=True)
class Growth:
    pods: int
    listing: float
    megabytes: float
    per_pod: float
    lag: float
    latest: float
    pause: float
    ready: float
    ready_cpu: float
    lists: float

    def __str__(self) -> str:
        return (
            f"{self.pods:8d}{self.listing * 1000:10.1f}{self.listing / self.megabytes * 1000:10.2f}"
            f"{self.per_pod:12.0f}{self.lag * 1000:12.0f}{self.latest * 1000:9.0f}"
            f"{self.pause * 1000:12.1f}{self.ready:9.1f}{self.ready_cpu:7.1f}{self.lists:9.1f}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pods", type=int, default=10_000, help="how far to grow; 50000 takes some minutes")
    parser.add_argument("--workers", type=int, default=1)
    arguments = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="skiff-bench-"))
    bed = Bed(folder, 0.0, arguments.workers)
    try:
        empty = bed.megabytes()
        print(
            f"ready after {bed.ready_seconds:.1f} s and {bed.ready_cpu:.1f} s of CPU, {empty:.0f} MB (PSS)", flush=True
        )
        with bed.server.http() as client:
            client.post("/api/v1/namespaces", json={"metadata": {"name": "bench"}})
            client.post(f"{NAMESPACE}/serviceaccounts", json={"metadata": {"name": "default"}})
            client.post(PODS, json=pod(MODEL)).raise_for_status()
        report(bed, arguments.pods, empty)
    finally:
        bed.close()
        shutil.rmtree(folder)


def report(bed: Bed, most: int, empty: float) -> None:
    """`empty` is what the apiserver weighs without pods. There must be the pod MODEL already."""
    print(f"\n{HEAD}")
    with bed.server.http() as client:
        have = len(client.get(PODS).json()["items"])
    for pods in (n for n in STEPS if n <= most):
        if pods > have:
            uvloop.run(fill(bed, have, pods))
            have = pods
        print(growth(bed, have, empty), flush=True)


async def fill(bed: Bed, first: int, last: int) -> None:
    """Pods that go straight into the store, copies of one that went the whole way."""
    client = EtcdClient([bed.store.url])
    try:
        model = await client.get(f"/registry/pods/bench/{MODEL}".encode())
        assert model is not None, f"no pod {MODEL}"
        numbers = iter(range(first, last))

        async def work() -> None:
            for number in numbers:
                value = model.value.replace(f'"name":"{MODEL}"'.encode(), b'"name":"g-%d"' % number)
                await client.put(b"/registry/pods/bench/g-%d" % number, value)

        async with asyncio.TaskGroup() as group:
            for _ in range(32):
                group.create_task(work())
    finally:
        await client.close()


def growth(bed: Bed, pods: int, empty: float) -> Growth:
    """The apiserver starts anew, so that nothing but the pods lies in memory."""
    bed.server.stop()
    bed.start()
    with bed.server.http() as client:
        client.get(PODS, params={"limit": "1"})
    listings, size = uvloop.run(list_times(bed))
    time.sleep(1.0)
    weight = bed.megabytes() - empty
    before = bed.metrics()
    lists = uvloop.run(many_lists(bed))
    after = bed.metrics()
    per_pod = weight * 1e6 / pods - size / pods
    pause = max(value for name, value in after.items() if name.startswith("skiff_gc_pause_longest_seconds"))
    lag, latest = quantile(before, after, 0.99), quantile(before, after, 1.0)
    return Growth(
        pods,
        statistics.median(listings),
        size / 1e6,
        per_pod,
        lag,
        latest,
        pause,
        bed.ready_seconds,
        bed.ready_cpu,
        lists,
    )


async def list_times(bed: Bed) -> tuple[list[float], int]:
    connection = await lean_http.Connection.open(bed.config, bed.config.ssl_context())
    request = connection.prepared("GET", f"{PODS}?resourceVersion=0")
    times, size = [], 0
    for _ in range(8):
        began = time.monotonic()
        size = await connection.discard(request)
        times.append(time.monotonic() - began)
    connection.close()
    return times[1:], size


async def many_lists(bed: Bed, seconds: float = 10.0) -> float:
    """Clients who list without pause, while the apiserver looks at its loop; how many lists came in a second."""
    began = time.monotonic()
    done = 0

    async def one() -> None:
        nonlocal done
        connection = await lean_http.Connection.open(bed.config, bed.config.ssl_context())
        while time.monotonic() < began + seconds:
            await connection.discard(connection.prepared("GET", PODS))
            done += 1
        connection.close()

    async with asyncio.TaskGroup() as group:
        for _ in range(LISTS):
            group.create_task(one())
    return done / (time.monotonic() - began)


def quantile(before: dict[str, float], after: dict[str, float], share: float) -> float:
    """The upper bound of the bucket in which it lies."""
    counts: dict[float, float] = {}
    for name, value in after.items():
        if name.startswith("skiff_event_loop_lag_seconds_bucket"):
            bound = float(name.partition('le="')[2].partition('"')[0])
            counts[bound] = counts.get(bound, 0.0) + value - before.get(name, 0.0)
    total = counts[float("inf")]
    return min((bound for bound, count in counts.items() if count >= share * total), default=0.0)
