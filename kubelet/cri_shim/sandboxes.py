"""The life of a pod sandbox: its network namespace, its pause container, and how both are taken down again."""

from __future__ import annotations

import asyncio
import json
import logging
import re
import signal
from collections.abc import Awaitable, Mapping
from typing import Any

from component_base.rpc import Code, RpcError
from kubelet.cri_shim import linux_syscalls, records, sandbox_files
from kubelet.cri_shim.cni import Attachment, CniError, NetworkList, addresses, load_network_list, parse_network_list
from kubelet.cri_shim.containerd_client import temporary_lease
from kubelet.cri_shim.core import Core
from kubelet.cri_shim.image_catalog import ImageInfo
from kubelet.cri_shim.oci_spec import sandbox_spec
from kubelet.cri_shim.pause_image import DEFAULT_PAUSE_IMAGE, pause_image
from kubelet.cri_shim.records import SandboxRecord
from kubelet.cri_shim.store import extension_of
from skiff_pb.cri import runtime_pb2 as cri

logger = logging.getLogger(__name__)

INTERFACE = "eth0"
KILL_WAIT = 30.0
QUANTITY = re.compile(r"(\d+(?:\.\d+)?)(k|Ki|M|Mi|G|Gi|)")
SCALES = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30}
PROTOCOLS = {cri.TCP: "tcp", cri.UDP: "udp", cri.SCTP: "sctp"}


def cni_attachment(record: SandboxRecord, config: cri.PodSandboxConfig) -> Attachment:
    """What plugins are told of the pod, under the names every runtime gives them."""
    metadata = config.metadata
    args = {
        "IgnoreUnknown": "1",
        "K8S_POD_NAMESPACE": metadata.namespace,
        "K8S_POD_NAME": metadata.name,
        "K8S_POD_INFRA_CONTAINER_ID": record.id,
        "K8S_POD_UID": metadata.uid,
    }
    capabilities: dict[str, Any] = {"io.kubernetes.cri.pod-annotations": dict(config.annotations)}
    mappings = [
        {
            "hostPort": mapping.host_port,
            "containerPort": mapping.container_port,
            "protocol": PROTOCOLS[mapping.protocol],
            "hostIP": mapping.host_ip,
        }
        for mapping in config.port_mappings
        if mapping.host_port > 0
    ]
    if mappings:
        capabilities["portMappings"] = mappings
    limits = bandwidth(config.annotations)
    if limits:
        capabilities["bandwidth"] = limits
    if config.HasField("dns_config"):
        dns = config.dns_config
        capabilities["dns"] = {
            "servers": list(dns.servers),
            "searches": list(dns.searches),
            "options": list(dns.options),
        }
    return Attachment(record.id, record.netns, INTERFACE, args, capabilities)


def bandwidth(annotations: Mapping[str, str]) -> dict[str, int]:
    """The bandwidth plugin's limits (bits a second) from the annotations users set; unreadable ones are left out."""
    limits: dict[str, int] = {}
    for direction in ("ingress", "egress"):
        match = QUANTITY.fullmatch(annotations.get(f"kubernetes.io/{direction}-bandwidth", ""))
        if match:
            limits[f"{direction}Rate"] = int(float(match[1]) * SCALES[match[2]])
            limits[f"{direction}Burst"] = 2**31 - 1
    return limits


class Sandboxes:
    def __init__(self, core: Core) -> None:
        self._core = core
        self._reserved: set[str] = set()

    async def run(self, config: cri.PodSandboxConfig, handler: str) -> str:
        if handler not in ("", "runc"):
            raise RpcError(Code.INVALID_ARGUMENT, f'no runtime for "{handler}" is configured')
        if not config.HasField("metadata"):
            raise RpcError(Code.INVALID_ARGUMENT, "sandbox config must include metadata")
        name = _unique_name(config)
        taken = next((r.id for r in self._core.store.sandboxes.values() if _unique_name(r.pod_config()) == name), None)
        if taken or name in self._reserved:
            owner = f"{taken}" if taken else "a sandbox that is being made"
            raise RpcError(Code.ALREADY_EXISTS, f'failed to reserve sandbox name "{name}": it is reserved for {owner}')
        self._reserved.add(name)
        try:
            return await self._run(config, handler)
        finally:
            self._reserved.discard(name)

    async def _run(self, config: cri.PodSandboxConfig, handler: str) -> str:
        core = self._core
        host_network = config.linux.security_context.namespace_options.network == cri.NODE
        sandbox_id = core.new_id()
        record = SandboxRecord(
            id=sandbox_id,
            config=config.SerializeToString(),
            runtime_handler=handler,
            created_at=core.now_ns(),
        )
        if not host_network:
            network = await self._network()
            record.netns, record.network_list = core.settings.netns(sandbox_id), network.to_json()
        try:
            # Metadata first: whatever is made afterwards is found and removed even if we die in between.
            await self._create_metadata(record, config)
            if record.netns:
                await linux_syscalls.create_netns(record.netns)
            # The plugins and runc each take a tenth of a second and do not need each other.
            await _both(self._attach_network(record, config), self._start_pause(record, config))
            await self._complete(record)
        except (RpcError, CniError, OSError, ValueError, asyncio.CancelledError) as error:
            await asyncio.shield(self._abandon(record))
            if isinstance(error, RpcError | asyncio.CancelledError):
                raise
            code = Code.INVALID_ARGUMENT if isinstance(error, ValueError) else Code.UNKNOWN
            raise RpcError(code, f"failed to setup sandbox {config.metadata.name}: {error}") from error
        return sandbox_id

    async def _network(self) -> NetworkList:
        try:
            network = await asyncio.to_thread(load_network_list, self._core.settings.cni_conf_dir)
            self._core.cni.check_plugins(network)
        except CniError as error:
            raise RpcError(Code.UNKNOWN, f"failed to setup network for sandbox: {error}") from error
        return network

    async def _create_metadata(self, record: SandboxRecord, config: cri.PodSandboxConfig) -> None:
        core = self._core
        image = await self._pause_image()
        spec = sandbox_spec(record.id, config, record.netns, core.traits, core.read_profile)
        async with temporary_lease(core.containerd, core.clock, core.rng) as lease:
            await core.containerd.prepare_snapshot(record.id, image.chain, lease=lease)
            await core.containerd.create_container(
                record.id,
                image=core.settings.pause_image,
                labels={records.KIND_LABEL: "sandbox"},
                spec=spec,
                snapshot_key=record.id,
                extensions={records.EXTENSION: extension_of(record)},
                systemd_cgroup=core.traits.systemd_cgroup,
            )

    async def _pause_image(self) -> ImageInfo:
        core = self._core
        image = await core.catalog.find(core.settings.pause_image)
        if image is None and core.settings.pause_image == DEFAULT_PAUSE_IMAGE:
            await core.loader.load_built(pause_image(core.traits.architecture), pinned=True)
            image = await core.catalog.find(core.settings.pause_image)
        if image is None:
            raise RpcError(
                Code.FAILED_PRECONDITION, f"the pause image {core.settings.pause_image} is not on this node: load it"
            )
        return image

    async def _attach_network(self, record: SandboxRecord, config: cri.PodSandboxConfig) -> None:
        if not record.netns:
            return
        network = parse_network_list(record.network_list, "the network list")
        result = await self._core.cni.add(network, cni_attachment(record, config))
        record.cni_result = json.dumps(result)
        record.ips = addresses(result)
        if not record.ips:
            raise CniError(f"network {network.name} gave the pod no address")

    async def _start_pause(self, record: SandboxRecord, config: cri.PodSandboxConfig) -> None:
        core = self._core
        await asyncio.to_thread(sandbox_files.prepare, core.settings, record.id, config)
        mounts = await core.containerd.snapshot_mounts(record.id)
        record.pid = await core.containerd.create_task(record.id, mounts)
        await core.containerd.start(record.id)

    async def _complete(self, record: SandboxRecord) -> None:
        """From here on it is a sandbox: a record without a process is a half-made one, also after a restart."""
        core = self._core
        await core.store.save(record)
        core.store.sandboxes[record.id] = record
        core.store.live_sandboxes.add(record.id)

    async def _abandon(self, record: SandboxRecord) -> None:
        """Undo a half-made sandbox. What cannot be undone now stays listed, so that the kubelet asks again."""
        self._core.store.live_sandboxes.discard(record.id)
        try:
            await self._stop(record)
            await self._remove(record)
        except (RpcError, CniError, OSError) as error:
            logger.warning("sandbox %s could not be cleaned up after a failed start: %s", record.id, error)
            self._core.store.sandboxes[record.id] = record

    async def stop(self, sandbox_id: str) -> None:
        """Idempotent. Its containers must have been stopped by the caller."""
        record = self._core.store.sandbox(sandbox_id)
        async with self._core.store.running(record.id).lock:
            try:
                await self._stop(record)
            except (CniError, OSError) as error:
                raise RpcError(Code.UNKNOWN, f'failed to stop sandbox "{record.id}": {error}') from error

    async def _stop(self, record: SandboxRecord) -> None:
        core = self._core
        # Not live from here on, so that its end surprises nobody.
        core.store.live_sandboxes.discard(record.id)
        await self._kill(record.id)
        if record.network_list:
            await self._detach_network(record)
        await asyncio.to_thread(sandbox_files.release, core.settings, record.id)
        if not record.stopped:
            record.stopped = True
            if record.id in core.store.sandboxes:
                await core.store.save(record)

    async def _kill(self, sandbox_id: str) -> None:
        containerd = self._core.containerd
        if await containerd.task(sandbox_id) is None:
            return
        await containerd.kill(sandbox_id, signal.SIGKILL, everyone=True)
        try:
            async with asyncio.timeout(KILL_WAIT):
                await _wait_gone(self._core, sandbox_id)
        except TimeoutError:
            raise RpcError(Code.DEADLINE_EXCEEDED, f"sandbox {sandbox_id} does not end after SIGKILL") from None
        await containerd.delete_task(sandbox_id)

    async def _detach_network(self, record: SandboxRecord) -> None:
        """Once: the record forgets its network when every plugin has let go of it."""
        network = parse_network_list(record.network_list, "the sandbox's record")
        attachment = cni_attachment(record, record.pod_config())
        if not await asyncio.to_thread(linux_syscalls.is_pinned, record.netns):
            attachment = Attachment(
                attachment.container_id, "", attachment.interface, attachment.args, attachment.capabilities
            )
        result = json.loads(record.cni_result) if record.cni_result else None
        await self._core.cni.delete(network, attachment, result)
        await asyncio.to_thread(linux_syscalls.remove_netns, record.netns)
        record.network_list = ""
        if record.id in self._core.store.sandboxes:
            await self._core.store.save(record)

    async def remove(self, sandbox_id: str) -> None:
        record = self._core.store.sandbox(sandbox_id)
        await self.stop(record.id)
        async with self._core.store.running(record.id).lock:
            await self._remove(record)

    async def _remove(self, record: SandboxRecord) -> None:
        core = self._core
        await core.containerd.delete_container(record.id)
        await core.containerd.remove_snapshot(record.id)
        await asyncio.to_thread(sandbox_files.remove, core.settings, record.id)
        core.store.forget(record.id)


async def _both(*work: Awaitable[None]) -> None:
    """Let each come to its end, whatever becomes of the other: what was made must be known to be undone."""
    results = await asyncio.gather(*work, return_exceptions=True)
    failures = [result for result in results if isinstance(result, BaseException)]
    for further in failures[1:]:
        logger.warning("a sandbox failed twice: %s", further)
    if failures:
        raise failures[0]


async def _wait_gone(core: Core, sandbox_id: str) -> None:
    """The pause container's end: told by containerd itself, so that it works while no events arrive."""
    try:
        await core.containerd.wait(sandbox_id)
    except RpcError as error:
        if error.code != Code.NOT_FOUND:
            raise


def _unique_name(config: cri.PodSandboxConfig) -> str:
    metadata = config.metadata
    return "_".join([metadata.name, metadata.namespace, metadata.uid, str(metadata.attempt)])
