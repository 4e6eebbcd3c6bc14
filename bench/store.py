"""Our store beside upstream's etcd, in one run on one machine: `python -m bench store [--members 3] [--seconds 3]`.

Both are started anew in a temporary folder and loaded by the same generator in turns, a short while each and several
times over, so that what else the machine does falls on both. It prints operations per second (the median of the turns)
and the ratio ours/etcd beside the budget for it. With `--keys`, it then fills both with so many keys and measures what
they cost: memory, a restart, and syncs while nobody asks for anything. The generator is Python and takes a core of its
own: on two cores ratios mean more than rates, and where answers are large (lists) it limits both.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path

import uvloop

from component_base.http2.channel import Http2Channel
from component_base.rpc import RpcError
from skiff_pb.etcd import rpc_pb2

KV = rpc_pb2.DESCRIPTOR.services_by_name["KV"]
WATCH = rpc_pb2.DESCRIPTOR.services_by_name["Watch"]
VALUE = b"x" * 1024
TURNS = 3
IDLE_SECONDS = 5.0
#: The least ratio that is aimed at; with three members other ones.
BUDGETS = {
    "put 1 KB, 1 client": (1.0, 1.0),
    "put 1 KB, 100 clients": (1.0, 2.0),
    "get, 16 clients": (1.0, 1.0),
    "get, 100 clients": (1.0, 1.0),
    "list 500 keys, 16 clients": (2.0, 2.0),
    "watch, 20 watchers": (1.0, 1.0),
    "watch, 200 watchers": (1.0, 1.0),
}
COMMANDS = {"etcd": ("/usr/bin/etcd",), "ours": (sys.executable, "-m", "etcd_raft")}

Operation = Callable[[Http2Channel, int], Awaitable[object]]


def free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [int(probe.getsockname()[1]) for probe in probes]


class Store:
    """A cluster of one kind."""

    def __init__(self, kind: str, members: int, folder: Path) -> None:
        self.kind = kind
        ports = free_ports(2 * members)
        self._clients, self._peers = ports[:members], ports[members:]
        self._folder = folder
        self.processes: list[subprocess.Popen[bytes]] = []
        self.channels: list[Http2Channel] = []

    def start(self) -> None:
        cluster = ",".join(f"m{n}=http://127.0.0.1:{port}" for n, port in enumerate(self._peers))
        for number, (client, peer) in enumerate(zip(self._clients, self._peers, strict=True)):
            command = [
                *COMMANDS[self.kind],
                f"--name=m{number}",
                f"--data-dir={self._folder / self.kind / str(number)}",
                f"--listen-client-urls=http://127.0.0.1:{client}",
                f"--advertise-client-urls=http://127.0.0.1:{client}",
                f"--listen-peer-urls=http://127.0.0.1:{peer}",
                f"--initial-advertise-peer-urls=http://127.0.0.1:{peer}",
                f"--initial-cluster={cluster}",
            ]
            (self._folder / self.kind).mkdir(exist_ok=True)
            log = (self._folder / self.kind / f"{number}.log").open("ab")
            self.processes.append(subprocess.Popen(command, stdout=log, stderr=log))

    async def ready(self) -> None:
        """Four connections, spread over the members."""
        self.channels = [Http2Channel(f"127.0.0.1:{self._clients[n % len(self._clients)]}") for n in range(4)]
        for channel in self.channels:
            while True:
                try:
                    await channel.unary(KV, "Range", rpc_pb2.RangeRequest(key=b"k"), timeout=1)
                    break
                except RpcError:
                    await asyncio.sleep(0.1)

    def resident_megabytes(self) -> float:
        pages = [int(Path(f"/proc/{process.pid}/statm").read_text().split()[1]) for process in self.processes]
        return sum(pages) * 4096 / 2**20 / len(pages)

    def syncs(self) -> float:
        """Of the first member's log since it started."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self._clients[0]}/metrics", timeout=10) as answer:
            lines = answer.read().decode().splitlines()
        found = (line for line in lines if line.startswith("etcd_disk_wal_fsync_duration_seconds_count"))
        return float(next(found).split()[-1])

    async def stop(self) -> None:
        for channel in self.channels:
            await channel.close()
        for process in self.processes:
            process.kill()
            process.wait()
        self.processes.clear()


async def put(channel: Http2Channel, number: int) -> None:
    await channel.unary(KV, "Put", rpc_pb2.PutRequest(key=b"/bench/%08d" % number, value=VALUE))


async def create(channel: Http2Channel, number: int) -> None:
    key = b"/created/%d/%08d" % (time.monotonic_ns(), number)
    compare = rpc_pb2.Compare(key=key, target=rpc_pb2.Compare.MOD, mod_revision=0)
    write = rpc_pb2.RequestOp(request_put=rpc_pb2.PutRequest(key=key, value=VALUE))
    await channel.unary(KV, "Txn", rpc_pb2.TxnRequest(compare=[compare], success=[write]))


async def get(channel: Http2Channel, number: int) -> None:
    await channel.unary(KV, "Range", rpc_pb2.RangeRequest(key=b"/bench/%08d" % (number % 500)))


async def list_500(channel: Http2Channel, number: int) -> None:
    request = rpc_pb2.RangeRequest(key=b"/bench/", range_end=b"/bench0", limit=500)
    await channel.unary(KV, "Range", request)


async def rate(store: Store, operation: Operation, clients: int, seconds: float) -> float:
    """Operations per second of so many clients, each with one call at a time."""
    until, done = time.monotonic() + seconds, 0

    async def client(number: int) -> None:
        nonlocal done
        channel = store.channels[number % len(store.channels)]
        while time.monotonic() < until:
            await operation(channel, done)
            done += 1

    begin = time.monotonic()
    await asyncio.gather(*(client(number) for number in range(clients)))
    return done / (time.monotonic() - begin)


async def deliveries(store: Store, watchers: int, seconds: float) -> float:
    """Events per second that reach so many watchers while 16 clients write."""
    seen, ready = 0, asyncio.Event()
    created = 0

    async def watch(channel: Http2Channel) -> None:
        nonlocal seen, created

        async def requests() -> AsyncIterator[rpc_pb2.WatchRequest]:
            create = rpc_pb2.WatchCreateRequest(key=b"/bench/", range_end=b"/bench0")
            yield rpc_pb2.WatchRequest(create_request=create)
            await asyncio.Event().wait()

        async for response in channel.stream(WATCH, "Watch", requests()):
            seen += len(response.events)
            created += response.created
            if created == watchers:
                ready.set()

    async with asyncio.TaskGroup() as group:
        watches = [group.create_task(watch(store.channels[number % len(store.channels)])) for number in range(watchers)]
        await ready.wait()
        begin = time.monotonic()
        written = await rate(store, put, 16, seconds) * seconds
        for _ in range(int(200 * seconds)):
            if seen >= written * watchers * 0.99:
                break
            await asyncio.sleep(0.01)
        found = seen / (time.monotonic() - begin)
        for task in watches:
            task.cancel()
    return found


def workloads(seconds: float) -> dict[str, Callable[[Store], Awaitable[float]]]:
    def of(operation: Operation, clients: int) -> Callable[[Store], Awaitable[float]]:
        return lambda store: rate(store, operation, clients, seconds)

    return {
        "put 1 KB, 1 client": of(put, 1),
        "put 1 KB, 16 clients": of(put, 16),
        "put 1 KB, 100 clients": of(put, 100),
        "create by txn, 100 clients": of(create, 100),
        "get, 16 clients": of(get, 16),
        "get, 100 clients": of(get, 100),
        "list 500 keys, 16 clients": of(list_500, 16),
        "watch, 20 watchers": lambda store: deliveries(store, 20, seconds),
        "watch, 200 watchers": lambda store: deliveries(store, 200, seconds),
    }


def row(name: str, etcd: float, ours: float, budget: float = 0.0) -> None:
    ratio = ours / etcd if etcd else float("nan")
    wanted = f"{budget:8.1f}  {'met' if ratio >= budget else 'missed'}" if budget else ""
    print(f"{name:28}{etcd:10.1f}{ours:10.1f}{ratio:8.2f}{wanted}", flush=True)


async def measure(stores: Sequence[Store], seconds: float, members: int, keys: int) -> None:
    for store in stores:
        store.start()
    try:
        for store in stores:
            await store.ready()
            for number in range(500):
                await put(store.channels[0], number)
        print(f"{f'{members} member(s)':28}{'etcd':>10}{'ours':>10}{'ratio':>8}{'budget':>8}")
        for name, workload in workloads(seconds).items():
            found: dict[str, list[float]] = {store.kind: [] for store in stores}
            for _ in range(TURNS):
                for store in stores:
                    found[store.kind].append(await workload(store))
            etcd, ours = (statistics.median(found[kind]) for kind in ("etcd", "ours"))
            row(name, etcd, ours, BUDGETS.get(name, (0.0, 0.0))[members > 1])
        row("resident MB per member", *(store.resident_megabytes() for store in stores))
        if keys:
            await measure_upkeep(stores, keys)
    finally:
        for store in stores:
            await store.stop()


async def measure_upkeep(stores: Sequence[Store], keys: int) -> None:
    """What so many keys of 1 KB cost. Smaller is better here."""
    memory, restart, idle = [], [], []
    for store in stores:
        before = store.resident_megabytes()
        await fill(store, keys)
        memory.append((store.resident_megabytes() - before) / keys * 1_000_000)
        syncs = store.syncs()
        await asyncio.sleep(IDLE_SECONDS)
        idle.append((store.syncs() - syncs) / IDLE_SECONDS)
        await store.stop()
        begin = time.monotonic()
        store.start()
        await store.ready()
        restart.append(time.monotonic() - begin)
    row("MB for a million keys", *memory)
    row(f"restart with {keys} keys, s", *restart)
    row("idle, syncs a second", *idle)


async def fill(store: Store, keys: int) -> None:
    numbers = iter(range(keys))

    async def client(channel: Http2Channel) -> None:
        for number in numbers:
            await channel.unary(KV, "Put", rpc_pb2.PutRequest(key=b"/filled/%08d" % number, value=VALUE))

    await asyncio.gather(*(client(store.channels[n % len(store.channels)]) for n in range(100)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--members", type=int, nargs="*", default=[1, 3], help="sizes of the clusters to compare")
    parser.add_argument("--seconds", type=float, default=2.0, help="length of one turn")
    parser.add_argument("--keys", type=int, default=0, help="keys to measure memory and restart with, such as 200000")
    arguments = parser.parse_args()
    for members in arguments.members:
        with tempfile.TemporaryDirectory() as folder:
            stores = [Store(kind, members, Path(folder)) for kind in ("etcd", "ours")]
            uvloop.run(measure(stores, arguments.seconds, members, arguments.keys if members == 1 else 0))


if __name__ == "__main__":
    main()
