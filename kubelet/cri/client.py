"""CRI v1 over a unix socket."""

from collections.abc import AsyncGenerator, Sequence
from typing import Any

from component_base.http2.channel import Http2Channel
from component_base.rpc import RpcError
from kubelet.containers.config import POD_UID
from kubelet.cri.runtime import ExecResult, RuntimeCondition, RuntimeFailure, RuntimeVersion
from skiff_pb.cri import runtime_pb2 as cri

_RUNTIME = cri.DESCRIPTOR.services_by_name["RuntimeService"]
_IMAGE = cri.DESCRIPTOR.services_by_name["ImageService"]

QUICK = 120.0
"""Seconds for calls that should answer at once (upstream's runtimeRequestTimeout)."""
SANDBOX = 240.0
PULL = 3600.0


class CriClient:
    """Both services of the CRI; the image service may live behind another endpoint."""

    def __init__(self, runtime: Http2Channel, image: Http2Channel | None = None) -> None:
        self._runtime = runtime
        self._image = image or runtime

    async def _call(self, method: str, request: Any, timeout: float = QUICK) -> Any:
        try:
            return await self._runtime.unary(_RUNTIME, method, request, timeout=timeout)
        except RpcError as error:
            raise RuntimeFailure(error.code.name, error.message) from error

    async def _image_call(self, method: str, request: Any, timeout: float = QUICK) -> Any:
        try:
            return await self._image.unary(_IMAGE, method, request, timeout=timeout)
        except RpcError as error:
            raise RuntimeFailure(error.code.name, error.message) from error

    async def version(self) -> RuntimeVersion:
        answer = await self._call("Version", cri.VersionRequest(version="0.1.0"), timeout=10)
        return RuntimeVersion(answer.runtime_name, answer.runtime_version, answer.runtime_api_version)

    async def conditions(self) -> dict[str, RuntimeCondition]:
        answer = await self._call("Status", cri.StatusRequest(), timeout=10)
        return {c.type: RuntimeCondition(c.status, c.reason, c.message) for c in answer.status.conditions}

    async def set_pod_cidr(self, cidr: str) -> None:
        config = cri.RuntimeConfig(network_config=cri.NetworkConfig(pod_cidr=cidr))
        await self._call("UpdateRuntimeConfig", cri.UpdateRuntimeConfigRequest(runtime_config=config))

    async def run_sandbox(self, config: cri.PodSandboxConfig, handler: str = "") -> str:
        request = cri.RunPodSandboxRequest(config=config, runtime_handler=handler)
        answer = await self._call("RunPodSandbox", request, timeout=SANDBOX)
        return str(answer.pod_sandbox_id)

    async def stop_sandbox(self, sandbox_id: str) -> None:
        await self._gone_is_fine("StopPodSandbox", cri.StopPodSandboxRequest(pod_sandbox_id=sandbox_id), SANDBOX)

    async def remove_sandbox(self, sandbox_id: str) -> None:
        await self._gone_is_fine("RemovePodSandbox", cri.RemovePodSandboxRequest(pod_sandbox_id=sandbox_id), SANDBOX)

    async def _gone_is_fine(self, method: str, request: Any, timeout: float) -> None:
        try:
            await self._call(method, request, timeout)
        except RuntimeFailure as failure:
            if not failure.not_found:
                raise

    async def list_sandboxes(self, uid: str = "") -> list[cri.PodSandbox]:
        chosen = cri.PodSandboxFilter(label_selector={POD_UID: uid} if uid else {})
        answer = await self._call("ListPodSandbox", cri.ListPodSandboxRequest(filter=chosen))
        return list(answer.items)

    async def sandbox_status(self, sandbox_id: str) -> cri.PodSandboxStatus:
        answer = await self._call("PodSandboxStatus", cri.PodSandboxStatusRequest(pod_sandbox_id=sandbox_id))
        status: cri.PodSandboxStatus = answer.status
        return status

    async def create_container(
        self, sandbox_id: str, config: cri.ContainerConfig, sandbox: cri.PodSandboxConfig
    ) -> str:
        request = cri.CreateContainerRequest(pod_sandbox_id=sandbox_id, config=config, sandbox_config=sandbox)
        return str((await self._call("CreateContainer", request)).container_id)

    async def start_container(self, container_id: str) -> None:
        await self._call("StartContainer", cri.StartContainerRequest(container_id=container_id))

    async def update_resources(self, container_id: str, resources: cri.LinuxContainerResources) -> None:
        await self._call(
            "UpdateContainerResources", cri.UpdateContainerResourcesRequest(container_id=container_id, linux=resources)
        )

    async def stop_container(self, container_id: str, timeout: int) -> None:
        request = cri.StopContainerRequest(container_id=container_id, timeout=timeout)
        await self._gone_is_fine("StopContainer", request, timeout + QUICK)

    async def remove_container(self, container_id: str) -> None:
        await self._gone_is_fine("RemoveContainer", cri.RemoveContainerRequest(container_id=container_id), QUICK)

    async def list_containers(self, uid: str = "") -> list[cri.Container]:
        chosen = cri.ContainerFilter(label_selector={POD_UID: uid} if uid else {})
        answer = await self._call("ListContainers", cri.ListContainersRequest(filter=chosen))
        return list(answer.containers)

    async def container_status(self, container_id: str) -> cri.ContainerStatus:
        answer = await self._call("ContainerStatus", cri.ContainerStatusRequest(container_id=container_id))
        status: cri.ContainerStatus = answer.status
        return status

    async def exec_sync(self, container_id: str, command: Sequence[str], timeout: float) -> ExecResult:
        request = cri.ExecSyncRequest(container_id=container_id, cmd=command, timeout=max(0, round(timeout)))
        answer = await self._call("ExecSync", request, timeout=timeout + QUICK if timeout else PULL)
        return ExecResult(answer.exit_code, answer.stdout, answer.stderr)

    async def reopen_log(self, container_id: str) -> None:
        await self._call("ReopenContainerLog", cri.ReopenContainerLogRequest(container_id=container_id))

    async def exec_url(self, request: cri.ExecRequest) -> str:
        return str((await self._call("Exec", request)).url)

    async def attach_url(self, request: cri.AttachRequest) -> str:
        return str((await self._call("Attach", request)).url)

    async def port_forward_url(self, sandbox_id: str, ports: Sequence[int]) -> str:
        request = cri.PortForwardRequest(pod_sandbox_id=sandbox_id, port=ports)
        return str((await self._call("PortForward", request)).url)

    async def container_stats(self) -> list[cri.ContainerStats]:
        answer = await self._call("ListContainerStats", cri.ListContainerStatsRequest())
        return list(answer.stats)

    async def events(self) -> AsyncGenerator[cri.ContainerEventResponse, None]:
        try:
            async for event in self._runtime.stream(_RUNTIME, "GetContainerEvents", cri.GetEventsRequest()):
                yield event
        except RpcError as error:
            raise RuntimeFailure(error.code.name, error.message) from error

    async def image_status(self, image: str) -> cri.Image | None:
        request = cri.ImageStatusRequest(image=cri.ImageSpec(image=image))
        answer = await self._image_call("ImageStatus", request)
        return answer.image if answer.HasField("image") and answer.image.id else None

    async def pull(self, image: str, auth: cri.AuthConfig | None, sandbox: cri.PodSandboxConfig | None) -> str:
        request = cri.PullImageRequest(image=cri.ImageSpec(image=image), auth=auth, sandbox_config=sandbox)
        return str((await self._image_call("PullImage", request, timeout=PULL)).image_ref)

    async def list_images(self) -> list[cri.Image]:
        return list((await self._image_call("ListImages", cri.ListImagesRequest())).images)

    async def remove_image(self, image: str) -> None:
        await self._image_call("RemoveImage", cri.RemoveImageRequest(image=cri.ImageSpec(image=image)))

    async def filesystem(self) -> list[cri.FilesystemUsage]:
        return list((await self._image_call("ImageFsInfo", cri.ImageFsInfoRequest())).image_filesystems)

    async def close(self) -> None:
        await self._runtime.close()
        if self._image is not self._runtime:
            await self._image.close()
