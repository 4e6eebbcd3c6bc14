"""Sandboxes and containers as the shim knows them: read from containerd's metadata at start, written through."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, TypeVar

from google.protobuf.any_pb2 import Any as AnyMessage

from component_base.rpc import Code, RpcError
from kubelet.cri_shim import records
from kubelet.cri_shim.container_io import ContainerIO
from kubelet.cri_shim.containerd_client import Containerd
from kubelet.cri_shim.records import ContainerRecord, SandboxRecord

T = TypeVar("T")


class Running:
    """What exists only while this process runs: locks, open streams, waiters."""

    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.exited = asyncio.Event()
        self.io: ContainerIO | None = None
        self.process: dict[str, Any] | None = None
        """The process part of its spec, which never changes: every exec starts from it."""


class Store:
    def __init__(self, containerd: Containerd) -> None:
        self._containerd = containerd
        self.sandboxes: dict[str, SandboxRecord] = {}
        self.containers: dict[str, ContainerRecord] = {}
        self.live_sandboxes: set[str] = set()
        self._running: dict[str, Running] = {}

    async def load(self) -> None:
        for container in await self._containerd.containers(f'labels."{records.KIND_LABEL}"'):
            extension = container.extensions.get(records.EXTENSION)
            if extension is None:
                continue
            if extension.type_url == records.SANDBOX_TYPE:
                self.sandboxes[container.id] = records.decode_sandbox(extension.value)
            elif extension.type_url == records.CONTAINER_TYPE:
                self.containers[container.id] = records.decode_container(extension.value)

    def running(self, identity: str) -> Running:
        return self._running.setdefault(identity, Running())

    async def save(self, record: SandboxRecord | ContainerRecord) -> None:
        await self._containerd.update_extension(record.id, records.EXTENSION, extension_of(record))

    def forget(self, identity: str) -> None:
        self.sandboxes.pop(identity, None)
        self.containers.pop(identity, None)
        self.live_sandboxes.discard(identity)
        self._running.pop(identity, None)

    def sandbox(self, identity: str) -> SandboxRecord:
        return _lookup(self.sandboxes, identity, "sandbox")

    def container(self, identity: str) -> ContainerRecord:
        return _lookup(self.containers, identity, "container")

    def containers_of(self, sandbox_id: str) -> list[ContainerRecord]:
        return [record for record in self.containers.values() if record.sandbox_id == sandbox_id]


def _lookup(known: Mapping[str, T], identity: str, what: str) -> T:
    """By full id, or by a prefix that only one has."""
    if identity in known:
        return known[identity]
    matches = [full for full in known if identity and full.startswith(identity)]
    if len(matches) == 1:
        return known[matches[0]]
    raise RpcError(Code.NOT_FOUND, f"{what} {identity!r}: not found")


def extension_of(record: SandboxRecord | ContainerRecord) -> AnyMessage:
    kind = records.SANDBOX_TYPE if isinstance(record, SandboxRecord) else records.CONTAINER_TYPE
    return AnyMessage(type_url=kind, value=records.encode(record))
