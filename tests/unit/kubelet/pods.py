"""Short ways to write down a pod and what the runtime sees of it."""

from typing import Any

from kubelet.pod import Container, Pod, from_object
from kubelet.sync.observed import ContainerSeen, PodSeen, SandboxSeen, State
from kubelet.sync.plan import container_hash

UID = "uid-1"


def make_pod(
    *names: str,
    init: tuple[str, ...] = (),
    sidecars: tuple[str, ...] = (),
    policy: str = "Always",
    extra: dict[str, dict[str, Any]] | None = None,
    status: dict[str, Any] | None = None,
    **spec: Any,
) -> Pod:
    extra = extra or {}

    def build(name: str, **more: Any) -> dict[str, Any]:
        return {"name": name, "image": f"{name}:1", **more, **extra.get(name, {})}

    inits = [build(n, **({"restartPolicy": "Always"} if n in sidecars else {})) for n in init]
    return from_object(
        {
            "metadata": {"name": "web", "namespace": "default", "uid": UID, "generation": 1},
            "spec": {
                "containers": [build(n) for n in names or ("a",)],
                "initContainers": inits,
                "restartPolicy": policy,
                **spec,
            },
            "status": status or {},
        }
    )


def sandbox(ready: bool = True, attempt: int = 0, **more: Any) -> SandboxSeen:
    values: dict[str, Any] = {"ips": ("10.0.0.5",)} | more
    return SandboxSeen(id=f"sb{attempt}", ready=ready, attempt=attempt, **values)


def seen(pod: Pod, *containers: ContainerSeen, sandboxes: tuple[SandboxSeen, ...] | None = None) -> PodSeen:
    return PodSeen(
        uid=pod.uid,
        name=pod.metadata.name,
        namespace=pod.metadata.namespace,
        sandboxes=(sandbox(),) if sandboxes is None else sandboxes,
        containers=containers,
    )


def _make(pod: Pod, name: str, state: State, attempt: int, **more: Any) -> ContainerSeen:
    container: Container | None = pod.container(name)
    assert container is not None
    values: dict[str, Any] = {
        "sandbox_id": "sb0",
        "spec_hash": container_hash(container),
        "image": container.image,
    } | more
    return ContainerSeen(id=f"{name}-{attempt}", name=name, state=state, attempt=attempt, **values)


def running(pod: Pod, name: str, attempt: int = 0, **more: Any) -> ContainerSeen:
    return _make(pod, name, State.RUNNING, attempt, started_at=100.0, **more)


def exited(pod: Pod, name: str, code: int = 0, attempt: int = 0, at: float = 200.0, **more: Any) -> ContainerSeen:
    return _make(pod, name, State.EXITED, attempt, exit_code=code, started_at=100.0, finished_at=at, **more)


def unknown(pod: Pod, name: str) -> ContainerSeen:
    return _make(pod, name, State.UNKNOWN, 0)
