"""The apiserver on our store, beside what upstream's did on a quiet machine of this size: `python -m bench api`.

The same loads as were put on upstream, by wrk where it matters how little the generator costs.
Upstream's column is a record of another hour: on a machine that others use, only ratios of one run mean something.
Then the growth (`growth.py`).
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from pathlib import Path

import uvloop

from bench import growth, lean_http
from bench.bed import MAPS, NAMESPACE, PODS, Bed, config_map, pod

WATCHERS = 20
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
    if not arguments.loads_only:
        growth.report(bed, arguments.pods, empty)
