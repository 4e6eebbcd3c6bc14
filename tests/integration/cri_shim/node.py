"""A containerd of its own with the shim (or containerd's own CRI plugin) on top, and a client that speaks CRI to it."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from component_base.http2.channel import Http2Channel
from component_base.rpc import RpcError
from kubelet.cri_shim.containerd_config import containerd_config
from kubelet.cri_shim.image_store import open_images
from kubelet.cri_shim.linux_syscalls import unmount
from kubelet.cri_shim.toolbox_image import TOOLBOX_IMAGE
from skiff_pb.cri import runtime_pb2 as cri

ROOT = Path(__file__).resolve().parents[3]
RUNTIME = cri.DESCRIPTOR.services_by_name["RuntimeService"]
IMAGES = cri.DESCRIPTOR.services_by_name["ImageService"]


class Node:
    """Folders, processes and a CRI client."""

    def __init__(self, folder: Path, *, own_plugin: bool, subnet: int) -> None:
        self.folder = folder
        self.own_plugin = own_plugin
        self.subnet = subnet
        self.bridge = f"skt{subnet}"
        self.containerd_socket = folder / "containerd.sock"
        self.socket = self.containerd_socket if own_plugin else folder / "cri.sock"
        self.containerd: subprocess.Popen[bytes] | None = None
        self.shim: subprocess.Popen[bytes] | None = None
        self._channel: Http2Channel | None = None
        self.pods = 0

    def prepare(self) -> None:
        conf = self.folder / "cni"
        conf.mkdir(parents=True)
        network = {
            "cniVersion": "0.4.0",
            "name": f"test{self.subnet}",
            "plugins": [
                {
                    "type": "bridge",
                    "bridge": self.bridge,
                    "isGateway": True,
                    "hairpinMode": True,
                    "ipam": {
                        "type": "host-local",
                        "dataDir": str(self.folder / "ipam"),
                        "ranges": [[{"subnet": f"10.213.{self.subnet}.0/24"}]],
                        "routes": [{"dst": "0.0.0.0/0"}],
                    },
                },
                {"type": "portmap", "capabilities": {"portMappings": True}},
            ],
        }
        (conf / "10-test.conflist").write_text(json.dumps(network))
        text = containerd_config(
            str(self.folder / "root"),
            str(self.folder / "run"),
            str(self.containerd_socket),
            self.own_plugin,
            cni_conf_dir=str(conf),
        )
        (self.folder / "containerd.toml").write_text(text)

    def start_containerd(self) -> None:
        with open(self.folder / "containerd.log", "ab") as log:
            self.containerd = subprocess.Popen(
                ["containerd", "--config", str(self.folder / "containerd.toml")], stdout=log, stderr=log
            )

    def shim_command(self) -> list[str]:
        return [
            sys.executable,
            "-m",
            "kubelet.cri_shim",
            f"--listen=unix://{self.socket}",
            f"--containerd=unix://{self.containerd_socket}",
            f"--root={self.folder / 'shim'}",
            f"--state={self.folder / 'shimrun'}",
            f"--cni-conf-dir={self.folder / 'cni'}",
            f"--cni-bin-dir=/usr/lib/cni,{self.folder / 'bin'}",
            "--v=4",
        ]

    def start_shim(self) -> None:
        if self.own_plugin:
            return
        with open(self.folder / "shim.log", "ab") as log:
            self.shim = subprocess.Popen(self.shim_command(), stdout=log, stderr=log, cwd=ROOT)

    def kill_shim(self, number: int = signal.SIGKILL) -> None:
        assert self.shim is not None
        self.shim.send_signal(number)
        self.shim.wait(40)

    def lose_power(self) -> None:
        """Everything of this node ends at once, and what lay in memory is gone."""
        assert self.containerd is not None
        self.containerd.kill()
        self.kill_shim()
        self.containerd.wait(40)
        for pid in self._processes():
            os.kill(pid, signal.SIGKILL)
        self._unmount()
        for name in ("run", "shimrun"):
            shutil.rmtree(self.folder / name, ignore_errors=True)

    def _processes(self) -> list[int]:
        """containerd's shims of this node, and every process in cgroups of its pods."""
        found: set[int] = set()
        marks = (str(self.folder).encode(), self.folder.name.encode())
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                command, groups = (entry / "cmdline").read_bytes(), (entry / "cgroup").read_bytes()
            except OSError:
                continue
            if (command.startswith(b"/usr/bin/containerd-shim") and marks[0] in command) or marks[1] in groups:
                found.add(int(entry.name))
        return sorted(found - {os.getpid()})

    async def ready(self) -> None:
        if self._channel is not None:
            await self._channel.close()
        self._channel = Http2Channel(f"unix://{self.socket}")
        await self.answering()

    async def answering(self) -> None:
        for _ in range(300):
            for process in (self.containerd, self.shim):
                assert process is None or process.poll() is None, self.logs()
            try:
                await self.runtime("Version", cri.VersionRequest())
                return
            except RpcError:
                await asyncio.sleep(0.1)
        raise AssertionError(self.logs())

    def logs(self) -> str:
        names = ("containerd.log", "shim.log")
        return "\n".join((self.folder / name).read_text()[-4000:] for name in names if (self.folder / name).exists())

    async def runtime(self, method: str, request: Any, timeout: float = 60.0) -> Any:
        assert self._channel is not None
        return await self._channel.unary(RUNTIME, method, request, timeout=timeout)

    async def image(self, method: str, request: Any, timeout: float = 120.0) -> Any:
        assert self._channel is not None
        return await self._channel.unary(IMAGES, method, request, timeout=timeout)

    def events(self) -> AsyncIterator[Any]:
        assert self._channel is not None
        return self._channel.stream(RUNTIME, "GetContainerEvents", cri.GetEventsRequest())

    # shorthand for tests

    def pod_config(self, name: str = "", **linux: Any) -> cri.PodSandboxConfig:
        self.pods += 1
        name = name or f"pod{self.pods}"
        config = cri.PodSandboxConfig(hostname=name, log_directory=str(self.folder / "logs" / name))
        config.metadata.name, config.metadata.namespace = name, "default"
        config.metadata.uid, config.metadata.attempt = f"uid-{name}", 0
        config.labels["app"] = name
        config.dns_config.servers.append("10.96.0.10")
        config.dns_config.searches.append("default.svc.cluster.local")
        config.dns_config.options.append("ndots:5")
        config.linux.cgroup_parent = f"/skifftest/{self.folder.name}/{name}"
        for key, value in linux.items():
            setattr(config.linux.security_context.namespace_options, key, value)
        return config

    async def sandbox(self, config: cri.PodSandboxConfig) -> str:
        answer = await self.runtime("RunPodSandbox", cri.RunPodSandboxRequest(config=config))
        return str(answer.pod_sandbox_id)

    def container_config(self, command: Sequence[str], name: str = "main") -> cri.ContainerConfig:
        config = cri.ContainerConfig(command=command, log_path=f"{name}.log")
        config.metadata.name = name
        config.image.image = TOOLBOX_IMAGE
        config.linux.security_context.namespace_options.pid = cri.CONTAINER
        return config

    async def create(self, sandbox: str, pod: cri.PodSandboxConfig, config: cri.ContainerConfig) -> str:
        options = config.linux.security_context.namespace_options
        options.network = pod.linux.security_context.namespace_options.network
        options.ipc = pod.linux.security_context.namespace_options.ipc
        request = cri.CreateContainerRequest(pod_sandbox_id=sandbox, config=config, sandbox_config=pod)
        return str((await self.runtime("CreateContainer", request)).container_id)

    async def run(self, sandbox: str, pod: cri.PodSandboxConfig, config: cri.ContainerConfig) -> str:
        container = await self.create(sandbox, pod, config)
        await self.runtime("StartContainer", cri.StartContainerRequest(container_id=container))
        return container

    async def status(self, container: str) -> cri.ContainerStatus:
        answer = await self.runtime("ContainerStatus", cri.ContainerStatusRequest(container_id=container))
        status: cri.ContainerStatus = answer.status
        return status

    async def exited(self, container: str) -> cri.ContainerStatus:
        found: cri.ContainerStatus = await until(
            lambda: self.status(container), lambda status: status.state == cri.CONTAINER_EXITED
        )
        return found

    async def exec(self, container: str, *command: str, timeout: int = 20) -> cri.ExecSyncResponse:
        request = cri.ExecSyncRequest(container_id=container, cmd=command, timeout=timeout)
        answer: cri.ExecSyncResponse = await self.runtime("ExecSync", request)
        return answer

    def log(self, pod: cri.PodSandboxConfig, name: str = "main") -> str:
        path = Path(pod.log_directory) / f"{name}.log"
        return path.read_text() if path.exists() else ""

    async def remove(self, sandbox: str) -> None:
        await self.runtime("StopPodSandbox", cri.StopPodSandboxRequest(pod_sandbox_id=sandbox))
        await self.runtime("RemovePodSandbox", cri.RemovePodSandboxRequest(pod_sandbox_id=sandbox))

    async def clear(self) -> None:
        for item in (await self.runtime("ListPodSandbox", cri.ListPodSandboxRequest())).items:
            await self.remove(item.id)

    async def disconnect(self) -> None:
        if self._channel is not None:
            await self._channel.close()

    def close(self) -> None:
        """End the processes and remove every file, mount and interface of this node."""
        for process in (self.shim, self.containerd):
            if process is not None and process.poll() is None:
                process.terminate()
                process.wait(40)
        self._remove_files()
        subprocess.run(["ip", "link", "delete", self.bridge], check=False, capture_output=True)

    def _remove_files(self) -> None:
        self._unmount()
        shutil.rmtree(self.folder, ignore_errors=True)
        for hierarchy in Path("/sys/fs/cgroup").iterdir():
            groups = hierarchy / "skifftest" / self.folder.name
            for path, _, _ in os.walk(groups, topdown=False):
                os.rmdir(path)

    def _unmount(self) -> None:
        with open("/proc/self/mountinfo", encoding="utf-8") as file:
            points = [line.split()[4] for line in file]
        for point in sorted((p for p in points if p.startswith(f"{self.folder}/")), reverse=True):
            unmount(point)


async def until(read: Callable[[], Any], good: Callable[[Any], bool], seconds: float = 40.0) -> Any:
    """The first value that is good; fails with the last one seen."""
    value: Any = None
    for _ in range(int(seconds / 0.05)):
        value = read()
        if asyncio.iscoroutine(value):
            value = await value
        if good(value):
            return value
        await asyncio.sleep(0.05)
    raise AssertionError(f"not reached within {seconds} s; last seen: {value}")


@asynccontextmanager
async def started_node(*, own_plugin: bool = False, subnet: int = 77) -> AsyncIterator[Node]:
    node = Node(Path(tempfile.mkdtemp(prefix="skcri", dir="/tmp")), own_plugin=own_plugin, subnet=subnet)
    try:
        node.prepare()
        node.start_containerd()
        await until(lambda: os.path.exists(node.containerd_socket), bool)
        async with open_images(f"unix://{node.containerd_socket}") as images:
            await images.load_toolbox()
            if own_plugin:
                await images.load_pause()
        node.start_shim()
        await node.ready()
        yield node
        await node.clear()
    finally:
        await node.disconnect()
        await asyncio.to_thread(node.close)
