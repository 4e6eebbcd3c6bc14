"""From CRI statuses to `PodSeen`: what the plan and the status generator read."""

from pathlib import Path

from kubelet.containers import config as labels
from kubelet.cri.runtime import Containers, RuntimeFailure
from kubelet.sync.observed import ContainerSeen, PodSeen, SandboxSeen, State
from skiff_pb.cri import runtime_pb2 as cri

MESSAGE_LIMIT = 4096
LOG_MESSAGE_LIMIT = 2048
LOG_MESSAGE_LINES = 80

_STATES = {
    cri.CONTAINER_CREATED: State.CREATED,
    cri.CONTAINER_RUNNING: State.RUNNING,
    cri.CONTAINER_EXITED: State.EXITED,
    cri.CONTAINER_UNKNOWN: State.UNKNOWN,
}


async def observe_pod(runtime: Containers, uid: str) -> PodSeen:
    sandboxes: list[SandboxSeen] = []
    name = namespace = ""
    for item in await runtime.list_sandboxes(uid):
        try:
            sandboxes.append(_sandbox(await runtime.sandbox_status(item.id)))
        except RuntimeFailure as failure:
            if not failure.not_found:
                raise
            continue
        name, namespace = item.metadata.name, item.metadata.namespace
    containers: list[ContainerSeen] = []
    for container in await runtime.list_containers(uid):
        try:
            status = await runtime.container_status(container.id)
        except RuntimeFailure as failure:
            if not failure.not_found:
                raise
            continue
        containers.append(_container(status, container.pod_sandbox_id))
        name = name or status.labels.get(labels.POD_NAME, "")
        namespace = namespace or status.labels.get(labels.POD_NAMESPACE, "")
    sandboxes.sort(key=lambda s: (s.created_at, s.attempt), reverse=True)
    containers.sort(key=lambda c: (c.created_at, c.attempt), reverse=True)
    return PodSeen(uid, name, namespace, tuple(sandboxes), tuple(containers))


def _sandbox(status: cri.PodSandboxStatus) -> SandboxSeen:
    ips = [status.network.ip, *(extra.ip for extra in status.network.additional_ips)]
    return SandboxSeen(
        id=status.id,
        ready=status.state == cri.SANDBOX_READY,
        attempt=status.metadata.attempt,
        created_at=status.created_at / 1e9,
        ips=tuple(ip for ip in ips if ip),
        host_network=status.linux.namespaces.options.network == cri.NODE,
    )


def _container(status: cri.ContainerStatus, sandbox_id: str) -> ContainerSeen:
    state = _STATES[status.state]
    image = status.image.user_specified_image or status.image.image
    return ContainerSeen(
        id=status.id,
        name=status.metadata.name,
        state=state,
        sandbox_id=sandbox_id,
        attempt=status.metadata.attempt,
        spec_hash=status.annotations.get(labels.HASH, ""),
        created_at=status.created_at / 1e9,
        started_at=status.started_at / 1e9,
        finished_at=status.finished_at / 1e9,
        exit_code=status.exit_code,
        reason=status.reason,
        message=_message(status) if state == State.EXITED else status.message,
        image=image,
        image_id=status.image_ref or status.image_id,
        log_path=status.log_path,
        resources=status.annotations.get(labels.RESOURCES, ""),
    )


def _message(status: cri.ContainerStatus) -> str:
    """The container's own last words if it left any, else the runtime's message."""
    own = ""
    host_path = status.annotations.get(labels.MESSAGE_HOST_PATH, "")
    if host_path:
        own = _tail(Path(host_path), MESSAGE_LIMIT, head=True)
    fall_back = status.annotations.get(labels.MESSAGE_POLICY) == "FallbackToLogsOnError"
    if not own and fall_back and status.exit_code != 0 and status.log_path:
        text = _tail(Path(status.log_path), LOG_MESSAGE_LIMIT * 2, head=False)
        # CRI log lines are `time stream tag text`; of one that is tagged P the end is yet to come, or never came.
        lines = [line.split(" ", 3)[2:] for line in text.splitlines() if line.count(" ") >= 3]
        said = [piece if tag.startswith("P") else f"{piece}\n" for tag, piece in lines[-LOG_MESSAGE_LINES:]]
        own = "".join(said)[-LOG_MESSAGE_LIMIT:]
    if own and status.message:
        return f"{status.message}: {own}"
    return own or status.message


def _tail(path: Path, limit: int, *, head: bool) -> str:
    try:
        with path.open("rb") as file:
            if not head:
                size = file.seek(0, 2)
                file.seek(max(0, size - limit))
            return file.read(limit).decode(errors="replace")
    except OSError:
        return ""
