"""What the shim remembers of a sandbox and of a container, in the form it is kept in containerd's metadata.

Each record is one extension of its containerd container: MessagePack under our own type URL. Labels carry only what
containerd must be able to filter on.
"""

from __future__ import annotations

import msgspec

from skiff_pb.cri import runtime_pb2 as cri

KIND_LABEL = "skiff.dev/kind"
SANDBOX_LABEL = "skiff.dev/sandbox"
EXTENSION = "skiff.dev/record"
SANDBOX_TYPE = "skiff.dev/cri/SandboxRecord"
CONTAINER_TYPE = "skiff.dev/cri/ContainerRecord"


class SandboxRecord(msgspec.Struct, kw_only=True):
    id: str
    config: bytes
    runtime_handler: str = ""
    created_at: int = 0
    netns: str = ""
    ips: list[str] = []
    network_list: str = ""
    cni_result: str = ""
    stopped: bool = False
    pid: int = 0

    def pod_config(self) -> cri.PodSandboxConfig:
        return cri.PodSandboxConfig.FromString(self.config)


class ContainerRecord(msgspec.Struct, kw_only=True):
    id: str
    sandbox_id: str
    config: bytes
    image_ref: str = ""
    image_id: str = ""
    log_path: str = ""
    stop_signal: str = ""
    uid: int = 0
    gid: int = 0
    groups: list[int] = []
    created_at: int = 0
    started_at: int = 0
    finished_at: int = 0
    exit_code: int = 0
    reason: str = ""
    message: str = ""
    oom_killed: bool = False
    pid: int = 0

    def container_config(self) -> cri.ContainerConfig:
        return cri.ContainerConfig.FromString(self.config)

    @property
    def state(self) -> cri.ContainerState:
        if self.finished_at:
            return cri.CONTAINER_EXITED
        return cri.CONTAINER_RUNNING if self.started_at else cri.CONTAINER_CREATED


def encode(record: SandboxRecord | ContainerRecord) -> bytes:
    return msgspec.msgpack.encode(record)


def decode_sandbox(data: bytes) -> SandboxRecord:
    return msgspec.msgpack.decode(data, type=SandboxRecord)


def decode_container(data: bytes) -> ContainerRecord:
    return msgspec.msgpack.decode(data, type=ContainerRecord)
