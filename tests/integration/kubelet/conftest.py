"""A containerd of the suite's own with its CRI plugin, images made of busybox, and a kubelet on a fake apiserver."""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from component_base.clock import SystemClock
from component_base.http2.channel import Http2Channel
from kubelet.agent import Agent
from kubelet.containers.cgroups import CgroupTree
from kubelet.cri.client import CriClient
from kubelet.node.machine import read_machine
from kubelet.settings import Settings
from tests.unit.kubelet.fake_api import FakeApi, RecordedEvents

BUSYBOX = "registry.k8s.io/busybox:1.36"
PAUSE = "registry.k8s.io/pause:3.10"
CNI_FOLDER = next((f for f in ("/usr/lib/cni", "/opt/cni/bin") if Path(f, "bridge").exists()), "")
SUBNET = "10.97.8.0/24"
PATIENCE = 40.0
"""For what takes a second or two on an idle machine; less than pytest's limit, so that the failure says what it saw."""

pytestmark = pytest.mark.root


def usable() -> bool:
    tools = all(shutil.which(tool) for tool in ("containerd", "runc", "ctr", "busybox"))
    return os.geteuid() == 0 and tools and bool(CNI_FOLDER)


def _layer(files: dict[str, bytes], links: list[str]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for folder in ("bin", "tmp", "etc", "dev", "proc", "sys", "root", "var", "run"):
            entry = tarfile.TarInfo(folder)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o1777 if folder == "tmp" else 0o755
            tar.addfile(entry)
        for path, data in files.items():
            entry = tarfile.TarInfo(path)
            entry.size, entry.mode = len(data), 0o755
            tar.addfile(entry, io.BytesIO(data))
        for link in links:
            entry = tarfile.TarInfo(f"bin/{link}")
            entry.type, entry.linkname = tarfile.SYMTYPE, "busybox"
            tar.addfile(entry)
    return out.getvalue()


def docker_archive(path: Path, tag: str, layer: bytes, config: dict[str, Any]) -> None:
    digest = hashlib.sha256(layer).hexdigest()
    rootfs = {"type": "layers", "diff_ids": [f"sha256:{digest}"]}
    image = json.dumps({"architecture": "amd64", "os": "linux", "config": config, "rootfs": rootfs}).encode()
    name = hashlib.sha256(image).hexdigest() + ".json"
    manifest = json.dumps([{"Config": name, "RepoTags": [tag], "Layers": ["l/layer.tar"]}]).encode()
    with tarfile.open(path, "w") as tar:
        for member, data in (("l/layer.tar", layer), (name, image), ("manifest.json", manifest)):
            entry = tarfile.TarInfo(member)
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))


def _configuration(folder: Path) -> str:
    return f"""
version = 2
root = "{folder}/root"
state = "{folder}/state"
[grpc]
  address = "{folder}/containerd.sock"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{PAUSE}"
  restrict_oom_score_adj = true
  disable_apparmor = true
  stream_server_address = "127.0.0.1"
  stream_server_port = "0"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{CNI_FOLDER}"
    conf_dir = "{folder}/cni"
"""


def _network(folder: Path) -> str:
    ipam = {"type": "host-local", "dataDir": f"{folder}/addresses", "ranges": [[{"subnet": SUBNET}]]}
    bridge = {"type": "bridge", "bridge": "skifftest0", "isGateway": True, "hairpinMode": True, "ipam": ipam}
    ports = {"type": "portmap", "capabilities": {"portMappings": True}}
    return json.dumps({"cniVersion": "0.4.0", "name": "skifftest", "plugins": [bridge, ports]})


def wait_for(socket: Path, server: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + PATIENCE
    while not socket.exists():
        assert server.poll() is None and time.monotonic() < deadline, log.read_text()  # noqa: PT018 - one reason
        time.sleep(0.05)


@pytest.fixture(scope="session")
def containerd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    if not usable():
        pytest.skip("needs root, containerd, runc, busybox and the CNI plugins: run `make setup` as root")
    folder = tmp_path_factory.mktemp("containerd")
    (folder / "cni").mkdir()
    (folder / "cni" / "10-test.conflist").write_text(_network(folder))
    (folder / "config.toml").write_text(_configuration(folder))
    busybox = Path(shutil.which("busybox") or "").read_bytes()
    links = subprocess.run(["busybox", "--list"], capture_output=True, text=True, check=True).stdout.split()
    layer = _layer({"bin/busybox": busybox}, [link for link in links if link != "busybox"])
    docker_archive(folder / "busybox.tar", BUSYBOX, layer, {"Cmd": ["sh"], "Env": ["PATH=/bin"]})
    docker_archive(folder / "pause.tar", PAUSE, layer, {"Entrypoint": ["/bin/sleep", "1000000"], "Env": ["PATH=/bin"]})
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(["containerd", "--config", str(folder / "config.toml")], stdout=log, stderr=log)
    socket = folder / "containerd.sock"
    wait_for(socket, server, folder / "log")
    for image in ("pause", "busybox"):
        load = ["ctr", "-a", str(socket), "-n", "k8s.io", "images", "import", str(folder / f"{image}.tar")]
        subprocess.run(load, check=True, capture_output=True)
    yield socket
    server.send_signal(signal.SIGTERM)
    server.wait(PATIENCE)
    subprocess.run(["ip", "link", "delete", "skifftest0"], capture_output=True, check=False)
    for cgroup in ("skifftestpods", "skifftest"):
        CgroupTree().remove(cgroup)


@pytest.fixture(scope="session")
def shim(containerd: Path) -> Iterator[Path]:
    """Our own CRI server beside containerd's, on the same images."""
    folder = containerd.parent
    socket = folder / "cri.sock"
    command = [
        *(sys.executable, "-m", "kubelet.cri_shim"),
        f"--listen=unix://{socket}",
        f"--containerd=unix://{containerd}",
        f"--root={folder}/shim",
        f"--state={folder}/shim-state",
        f"--cni-conf-dir={folder}/cni",
        f"--cni-bin-dir={CNI_FOLDER}",
    ]
    with (folder / "shim.log").open("wb") as log:
        server = subprocess.Popen(command, stdout=log, stderr=log)
    wait_for(socket, server, folder / "shim.log")
    yield socket
    server.send_signal(signal.SIGTERM)
    server.wait(PATIENCE)


@pytest.fixture(scope="session", params=["shim", "containerd"])
def runtime_socket(request: pytest.FixtureRequest) -> Path:
    found: Path = request.getfixturevalue(request.param)
    return found


@dataclass
class Kubelet:
    api: FakeApi
    events: RecordedEvents
    agent: Agent

    async def until(self, condition: Callable[[], bool], seconds: float = PATIENCE) -> None:
        try:
            async with asyncio.timeout(seconds):
                while not condition():  # noqa: ASYNC110 - the other side gives no sign
                    await asyncio.sleep(0.02)
        except TimeoutError:
            statuses = {path: body.get("status") for path, body in self.api.objects.items()}
            raise AssertionError(f"never came true; {statuses}\n{self.events.seen}") from None


@pytest.fixture
async def kubelet(runtime_socket: Path, tmp_path: Path) -> AsyncIterator[Kubelet]:
    api, events, clock = FakeApi(), RecordedEvents(), SystemClock()
    runtime = CriClient(Http2Channel(f"unix://{runtime_socket}"))
    settings = Settings(
        "node-1",
        node_ip="127.0.0.1",
        root=tmp_path / "kubelet",
        pod_logs=tmp_path / "logs",
        cluster_dns=("10.96.0.10",),
        cgroup_root="skifftestpods",
    )
    agent = Agent(settings, api, runtime, events, clock, read_machine())
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(work) for work in (agent.services.run(), agent.follow_pods(), agent.pleg.run())]
        tasks.append(group.create_task(agent.fleet.housekeep()))
        yield Kubelet(api, events, agent)
        for path in [p for p in api.objects if "/pods/" in p]:
            api.delete_pod(path, grace=0)
        async with asyncio.timeout(PATIENCE):
            while agent.fleet.workers:  # noqa: ASYNC110 - the other side gives no sign
                await asyncio.sleep(0.02)
        for task in tasks:
            task.cancel()
    await agent.fleet.stop()
    await runtime.close()
