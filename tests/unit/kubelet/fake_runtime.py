"""A CRI runtime without containers: sandboxes and containers are records whose states the test moves."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field

from component_base.clock import Clock
from kubelet.containers.config import POD_UID
from kubelet.cri.runtime import ExecResult, RuntimeCondition, RuntimeFailure, RuntimeVersion
from skiff_pb.cri import runtime_pb2 as cri


@dataclass
class Box:
    config: cri.PodSandboxConfig
    ready: bool = True
    created: float = 0.0


@dataclass
class Made:
    sandbox: str
    config: cri.ContainerConfig
    created: float
    state: int = cri.CONTAINER_CREATED
    started: float = 0.0
    finished: float = 0.0
    exit_code: int = 0


@dataclass
class FakeRuntime:
    clock: Clock
    images: set[str] = field(default_factory=lambda: {"a:1", "b:1", "i:1", "s:1"})
    boxes: dict[str, Box] = field(default_factory=dict)
    made: dict[str, Made] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)
    stops: list[tuple[str, int]] = field(default_factory=list)
    network: RuntimeCondition = field(default_factory=lambda: RuntimeCondition(True))
    fail: dict[str, str] = field(default_factory=dict)
    """call -> message of its failure"""
    exec_code: int = 0

    def _note(self, call: str, name: str = "") -> None:
        self.calls.append(f"{call} {name}".strip())
        if call in self.fail:
            raise RuntimeFailure("UNKNOWN", self.fail[call])

    def find(self, name: str) -> Made:
        """The newest attempt of a container."""
        return [m for m in self.made.values() if m.config.metadata.name == name][-1]

    def exit(self, name: str, code: int = 0) -> None:
        made = self.find(name)
        made.state, made.exit_code, made.finished = cri.CONTAINER_EXITED, code, self.clock.now()

    async def version(self) -> RuntimeVersion:
        return RuntimeVersion("fake", "1.0")

    async def conditions(self) -> dict[str, RuntimeCondition]:
        self._note("version")
        return {"RuntimeReady": RuntimeCondition(True), "NetworkReady": self.network}

    async def set_pod_cidr(self, cidr: str) -> None:
        self._note("set_pod_cidr", cidr)

    async def run_sandbox(self, config: cri.PodSandboxConfig, handler: str = "") -> str:
        self._note("run_sandbox", config.metadata.name)
        name = f"sandbox-{len(self.boxes)}"
        self.boxes[name] = Box(config, created=self.clock.now())
        return name

    async def stop_sandbox(self, sandbox_id: str) -> None:
        self._note("stop_sandbox", sandbox_id)
        if sandbox_id in self.boxes:
            self.boxes[sandbox_id].ready = False
        for made in self.made.values():
            if made.sandbox == sandbox_id and made.state == cri.CONTAINER_RUNNING:
                made.state, made.exit_code, made.finished = cri.CONTAINER_EXITED, 137, self.clock.now()

    async def remove_sandbox(self, sandbox_id: str) -> None:
        self._note("remove_sandbox", sandbox_id)
        self.boxes.pop(sandbox_id, None)

    async def list_sandboxes(self, uid: str = "") -> list[cri.PodSandbox]:
        return [
            cri.PodSandbox(
                id=name,
                metadata=box.config.metadata,
                state=cri.SANDBOX_READY if box.ready else cri.SANDBOX_NOTREADY,
                labels=box.config.labels,
            )
            for name, box in self.boxes.items()
            if uid in ("", box.config.labels[POD_UID])
        ]

    async def sandbox_status(self, sandbox_id: str) -> cri.PodSandboxStatus:
        box = self.boxes[sandbox_id]
        return cri.PodSandboxStatus(
            id=sandbox_id,
            metadata=box.config.metadata,
            state=cri.SANDBOX_READY if box.ready else cri.SANDBOX_NOTREADY,
            created_at=int(box.created * 1e9),
            network=cri.PodSandboxNetworkStatus(ip="10.0.0.9" if box.ready else ""),
            linux=cri.LinuxPodSandboxStatus(
                namespaces=cri.Namespace(options=box.config.linux.security_context.namespace_options)
            ),
        )

    async def create_container(
        self, sandbox_id: str, config: cri.ContainerConfig, sandbox: cri.PodSandboxConfig
    ) -> str:
        self._note("create", config.metadata.name)
        name = f"{config.metadata.name}-{config.metadata.attempt}"
        self.made[name] = Made(sandbox_id, config, self.clock.now())
        return name

    async def start_container(self, container_id: str) -> None:
        self._note("start", container_id)
        made = self.made[container_id]
        made.state, made.started = cri.CONTAINER_RUNNING, self.clock.now()

    async def update_resources(self, container_id: str, resources: cri.LinuxContainerResources) -> None:
        self._note("update", f"{container_id} {resources.memory_limit_in_bytes}")

    async def stop_container(self, container_id: str, timeout: int) -> None:
        self._note("stop", container_id)
        self.stops.append((container_id, timeout))
        made = self.made[container_id]
        made.state, made.exit_code, made.finished = cri.CONTAINER_EXITED, 143, self.clock.now()

    async def remove_container(self, container_id: str) -> None:
        self._note("remove", container_id)
        self.made.pop(container_id, None)

    async def list_containers(self, uid: str = "") -> list[cri.Container]:
        return [
            cri.Container(
                id=name,
                pod_sandbox_id=made.sandbox,
                metadata=made.config.metadata,
                state=cri.ContainerState.Name(made.state),
                labels=made.config.labels,
                annotations=made.config.annotations,
            )
            for name, made in self.made.items()
            if uid in ("", made.config.labels[POD_UID])
        ]

    async def container_status(self, container_id: str) -> cri.ContainerStatus:
        made = self.made[container_id]
        return cri.ContainerStatus(
            id=container_id,
            metadata=made.config.metadata,
            state=cri.ContainerState.Name(made.state),
            created_at=int(made.created * 1e9),
            started_at=int(made.started * 1e9),
            finished_at=int(made.finished * 1e9),
            exit_code=made.exit_code,
            image=made.config.image,
            labels=made.config.labels,
            annotations=made.config.annotations,
        )

    async def exec_sync(self, container_id: str, command: Sequence[str], timeout: float) -> ExecResult:
        self._note("exec", " ".join(command))
        return ExecResult(self.exec_code)

    async def reopen_log(self, container_id: str) -> None:
        self._note("reopen", container_id)

    async def exec_url(self, request: cri.ExecRequest) -> str:
        return "http://127.0.0.1:1/exec"

    async def attach_url(self, request: cri.AttachRequest) -> str:
        return "http://127.0.0.1:1/attach"

    async def port_forward_url(self, sandbox_id: str, ports: Sequence[int]) -> str:
        return "http://127.0.0.1:1/portforward"

    async def container_stats(self) -> list[cri.ContainerStats]:
        return []

    async def events(self) -> AsyncGenerator[cri.ContainerEventResponse, None]:
        if not self.boxes.get("events"):
            raise RuntimeFailure("UNIMPLEMENTED", "no events here")
        yield cri.ContainerEventResponse()

    async def image_status(self, image: str) -> cri.Image | None:
        return cri.Image(id=f"sha256:{image}", username="app") if image in self.images else None

    async def pull(self, image: str, auth: cri.AuthConfig | None, sandbox: cri.PodSandboxConfig | None) -> str:
        self._note("pull", image)
        self.images.add(image)
        return image

    async def list_images(self) -> list[cri.Image]:
        return [cri.Image(id=f"sha256:{image}", repo_tags=[image], size=1) for image in sorted(self.images)]

    async def remove_image(self, image: str) -> None:
        self._note("remove_image", image)

    async def filesystem(self) -> list[cri.FilesystemUsage]:
        return []

    async def close(self) -> None:
        return
