"""CRI's RuntimeService: each call handed to the part that carries it out."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

from component_base.rpc import CallContext, Code, RpcError
from kubelet.cri_shim import views
from kubelet.cri_shim.cni import CniError, load_network_list
from kubelet.cri_shim.containers import Containers
from kubelet.cri_shim.core import Core
from kubelet.cri_shim.lifecycle import Lifecycle
from kubelet.cri_shim.processes import Processes
from kubelet.cri_shim.sandboxes import Sandboxes
from kubelet.cri_shim.stats import Stats
from kubelet.cri_shim.streaming.channels import Wanted
from kubelet.cri_shim.streaming.server import StreamingServer
from skiff_pb.cri import runtime_pb2 as cri

RUNTIME_NAME = "skiff"
API_VERSION = "v1"
KUBELET_API_VERSION = "0.1.0"


class RuntimeService:
    """`pod CIDR` news from UpdateRuntimeConfig are only acknowledged: the kubelet writes the CNI file itself."""

    def __init__(
        self,
        core: Core,
        sandboxes: Sandboxes,
        containers: Containers,
        lifecycle: Lifecycle,
        processes: Processes,
        stats: Stats,
        streaming: StreamingServer,
    ) -> None:
        self._core = core
        self._sandboxes, self._containers, self._lifecycle = sandboxes, containers, lifecycle
        self._processes, self._stats, self._streaming = processes, stats, streaming

    async def version(self, request: cri.VersionRequest, _: CallContext) -> cri.VersionResponse:
        del request
        found = await self._core.containerd.version()
        return cri.VersionResponse(
            version=KUBELET_API_VERSION,
            runtime_name=RUNTIME_NAME,
            runtime_version=found.version,
            runtime_api_version=API_VERSION,
        )

    # sandboxes

    async def run_pod_sandbox(self, request: cri.RunPodSandboxRequest, _: CallContext) -> cri.RunPodSandboxResponse:
        sandbox_id = await self._sandboxes.run(request.config, request.runtime_handler)
        self._lifecycle.announce(sandbox_id, sandbox_id, cri.CONTAINER_CREATED_EVENT)
        self._lifecycle.announce(sandbox_id, sandbox_id, cri.CONTAINER_STARTED_EVENT)
        return cri.RunPodSandboxResponse(pod_sandbox_id=sandbox_id)

    async def stop_pod_sandbox(self, request: cri.StopPodSandboxRequest, _: CallContext) -> cri.StopPodSandboxResponse:
        try:
            await self._stop_with_containers(request.pod_sandbox_id)
        except RpcError as error:
            # Stopping what is gone is done already.
            if error.code != Code.NOT_FOUND:
                raise
        return cri.StopPodSandboxResponse()

    async def _stop_with_containers(self, sandbox_id: str) -> None:
        record = self._core.store.sandbox(sandbox_id)
        for container in self._core.store.containers_of(record.id):
            await self._containers.stop(container.id, 0)
        await self._sandboxes.stop(record.id)

    async def remove_pod_sandbox(
        self, request: cri.RemovePodSandboxRequest, _: CallContext
    ) -> cri.RemovePodSandboxResponse:
        try:
            record = self._core.store.sandbox(request.pod_sandbox_id)
            await self._stop_with_containers(record.id)
            for container in self._core.store.containers_of(record.id):
                await self._containers.remove(container.id)
            await self._sandboxes.remove(record.id)
        except RpcError as error:
            if error.code != Code.NOT_FOUND:
                raise
            return cri.RemovePodSandboxResponse()
        self._lifecycle.announce(record.id, record.id, cri.CONTAINER_DELETED_EVENT)
        return cri.RemovePodSandboxResponse()

    async def pod_sandbox_status(
        self, request: cri.PodSandboxStatusRequest, _: CallContext
    ) -> cri.PodSandboxStatusResponse:
        record = self._core.store.sandbox(request.pod_sandbox_id)
        live = record.id in self._core.store.live_sandboxes
        answer = cri.PodSandboxStatusResponse(status=views.sandbox_status(record, live))
        answer.containers_statuses.extend(
            views.container_status(each) for each in self._core.store.containers_of(record.id)
        )
        answer.timestamp = self._core.now_ns()
        if request.verbose:
            info = {"pid": record.pid, "netns": record.netns, "cniResult": json.loads(record.cni_result or "null")}
            answer.info["info"] = json.dumps(info)
        return answer

    async def list_pod_sandbox(self, request: cri.ListPodSandboxRequest, _: CallContext) -> cri.ListPodSandboxResponse:
        return cri.ListPodSandboxResponse(items=self._sandbox_items(request.filter))

    async def stream_pod_sandboxes(
        self, request: cri.StreamPodSandboxesRequest, _: CallContext
    ) -> AsyncIterator[cri.StreamPodSandboxesResponse]:
        for item in self._sandbox_items(request.filter):
            yield cri.StreamPodSandboxesResponse(pod_sandboxes=[item])

    def _sandbox_items(self, chosen: cri.PodSandboxFilter) -> list[cri.PodSandbox]:
        store = self._core.store
        items = [views.sandbox_item(record, record.id in store.live_sandboxes) for record in store.sandboxes.values()]
        return views.filter_sandboxes(items, chosen)

    async def update_pod_sandbox_resources(
        self, request: cri.UpdatePodSandboxResourcesRequest, _: CallContext
    ) -> cri.UpdatePodSandboxResourcesResponse:
        """A notice: the pod's own cgroup is the kubelet's, and the pause container needs no more than it has."""
        self._core.store.sandbox(request.pod_sandbox_id)
        return cri.UpdatePodSandboxResourcesResponse()

    # containers

    async def create_container(
        self, request: cri.CreateContainerRequest, _: CallContext
    ) -> cri.CreateContainerResponse:
        container_id = await self._containers.create(request.pod_sandbox_id, request.config, request.sandbox_config)
        self._announce(container_id, cri.CONTAINER_CREATED_EVENT)
        return cri.CreateContainerResponse(container_id=container_id)

    async def start_container(self, request: cri.StartContainerRequest, _: CallContext) -> cri.StartContainerResponse:
        await self._containers.start(request.container_id)
        self._announce(request.container_id, cri.CONTAINER_STARTED_EVENT)
        return cri.StartContainerResponse()

    async def stop_container(self, request: cri.StopContainerRequest, _: CallContext) -> cri.StopContainerResponse:
        try:
            await self._containers.stop(request.container_id, float(request.timeout))
        except RpcError as error:
            if error.code != Code.NOT_FOUND:
                raise
        return cri.StopContainerResponse()

    async def remove_container(
        self, request: cri.RemoveContainerRequest, _: CallContext
    ) -> cri.RemoveContainerResponse:
        try:
            record = self._core.store.container(request.container_id)
            await self._containers.remove(record.id)
        except RpcError as error:
            if error.code != Code.NOT_FOUND:
                raise
            return cri.RemoveContainerResponse()
        self._lifecycle.announce(record.id, record.sandbox_id, cri.CONTAINER_DELETED_EVENT)
        return cri.RemoveContainerResponse()

    async def list_containers(self, request: cri.ListContainersRequest, _: CallContext) -> cri.ListContainersResponse:
        return cri.ListContainersResponse(containers=self._container_items(request.filter))

    async def stream_containers(
        self, request: cri.StreamContainersRequest, _: CallContext
    ) -> AsyncIterator[cri.StreamContainersResponse]:
        for item in self._container_items(request.filter):
            yield cri.StreamContainersResponse(containers=[item])

    def _container_items(self, chosen: cri.ContainerFilter) -> list[cri.Container]:
        items = [views.container_item(record) for record in self._core.store.containers.values()]
        return views.filter_containers(items, chosen)

    async def container_status(
        self, request: cri.ContainerStatusRequest, _: CallContext
    ) -> cri.ContainerStatusResponse:
        record = self._core.store.container(request.container_id)
        answer = cri.ContainerStatusResponse(status=views.container_status(record))
        if request.verbose:
            spec = await self._core.containerd.spec(record.id)
            info = {"sandboxID": record.sandbox_id, "pid": record.pid, "runtimeSpec": spec}
            answer.info["info"] = json.dumps(info)
        return answer

    async def update_container_resources(
        self, request: cri.UpdateContainerResourcesRequest, _: CallContext
    ) -> cri.UpdateContainerResourcesResponse:
        await self._containers.update_resources(request.container_id, request.linux)
        return cri.UpdateContainerResourcesResponse()

    async def reopen_container_log(
        self, request: cri.ReopenContainerLogRequest, _: CallContext
    ) -> cri.ReopenContainerLogResponse:
        await self._containers.reopen_log(request.container_id)
        return cri.ReopenContainerLogResponse()

    async def checkpoint_container(
        self, request: cri.CheckpointContainerRequest, _: CallContext
    ) -> cri.CheckpointContainerResponse:
        del request
        raise RpcError(Code.UNIMPLEMENTED, "method CheckpointContainer not implemented")

    # processes

    async def exec_sync(self, request: cri.ExecSyncRequest, _: CallContext) -> cri.ExecSyncResponse:
        code, output, errors = await self._processes.exec_sync(
            request.container_id, request.cmd, float(request.timeout)
        )
        return cri.ExecSyncResponse(stdout=output, stderr=errors, exit_code=code)

    async def exec(self, request: cri.ExecRequest, _: CallContext) -> cri.ExecResponse:
        _check_streams(request.tty, request.stdin, request.stdout, request.stderr)
        if not request.cmd:
            raise RpcError(Code.INVALID_ARGUMENT, "missing required cmd")
        record = self._processes.running_container(request.container_id)
        wanted = Wanted(request.stdin, request.stdout, request.stderr, request.tty)
        return cri.ExecResponse(url=self._issue("exec", record.id, wanted, command=list(request.cmd)))

    async def attach(self, request: cri.AttachRequest, _: CallContext) -> cri.AttachResponse:
        _check_streams(request.tty, request.stdin, request.stdout, request.stderr)
        record = self._processes.running_container(request.container_id)
        wanted = Wanted(request.stdin, request.stdout, request.stderr, request.tty)
        return cri.AttachResponse(url=self._issue("attach", record.id, wanted))

    async def port_forward(self, request: cri.PortForwardRequest, _: CallContext) -> cri.PortForwardResponse:
        record = self._core.store.sandbox(request.pod_sandbox_id)
        if record.id not in self._core.store.live_sandboxes:
            raise RpcError(Code.FAILED_PRECONDITION, f"sandbox container {record.id!r} is not running")
        wanted = Wanted(False, False, False, False)
        return cri.PortForwardResponse(url=self._issue("portforward", record.id, wanted, ports=list(request.port)))

    def _issue(
        self, kind: str, target: str, wanted: Wanted, command: list[str] | None = None, ports: list[int] | None = None
    ) -> str:
        try:
            return self._streaming.issue(kind, target, wanted, command or (), ports or ())
        except OverflowError as error:
            raise RpcError(Code.RESOURCE_EXHAUSTED, str(error)) from error

    # usage

    async def container_stats(self, request: cri.ContainerStatsRequest, _: CallContext) -> cri.ContainerStatsResponse:
        return cri.ContainerStatsResponse(stats=await self._stats.container(request.container_id))

    async def list_container_stats(
        self, request: cri.ListContainerStatsRequest, _: CallContext
    ) -> cri.ListContainerStatsResponse:
        return cri.ListContainerStatsResponse(stats=await self._stats.containers(request.filter))

    async def stream_container_stats(
        self, request: cri.StreamContainerStatsRequest, _: CallContext
    ) -> AsyncIterator[cri.StreamContainerStatsResponse]:
        for stats in await self._stats.containers(request.filter):
            yield cri.StreamContainerStatsResponse(container_stats=[stats])

    async def pod_sandbox_stats(
        self, request: cri.PodSandboxStatsRequest, _: CallContext
    ) -> cri.PodSandboxStatsResponse:
        return cri.PodSandboxStatsResponse(stats=await self._stats.sandbox(request.pod_sandbox_id))

    async def list_pod_sandbox_stats(
        self, request: cri.ListPodSandboxStatsRequest, _: CallContext
    ) -> cri.ListPodSandboxStatsResponse:
        return cri.ListPodSandboxStatsResponse(stats=await self._stats.sandboxes(request.filter))

    async def stream_pod_sandbox_stats(
        self, request: cri.StreamPodSandboxStatsRequest, _: CallContext
    ) -> AsyncIterator[cri.StreamPodSandboxStatsResponse]:
        for stats in await self._stats.sandboxes(request.filter):
            yield cri.StreamPodSandboxStatsResponse(pod_sandbox_stats=[stats])

    async def list_metric_descriptors(
        self, request: cri.ListMetricDescriptorsRequest, _: CallContext
    ) -> cri.ListMetricDescriptorsResponse:
        """None: what kubelets need of usage is in the stats calls."""
        del request
        return cri.ListMetricDescriptorsResponse()

    async def list_pod_sandbox_metrics(
        self, request: cri.ListPodSandboxMetricsRequest, _: CallContext
    ) -> cri.ListPodSandboxMetricsResponse:
        del request
        return cri.ListPodSandboxMetricsResponse()

    # the runtime itself

    async def update_runtime_config(
        self, request: cri.UpdateRuntimeConfigRequest, _: CallContext
    ) -> cri.UpdateRuntimeConfigResponse:
        del request
        return cri.UpdateRuntimeConfigResponse()

    async def runtime_config(self, request: cri.RuntimeConfigRequest, _: CallContext) -> cri.RuntimeConfigResponse:
        del request
        answer = cri.RuntimeConfigResponse()
        answer.linux.cgroup_driver = cri.SYSTEMD if self._core.traits.systemd_cgroup else cri.CGROUPFS
        return answer

    async def status(self, request: cri.StatusRequest, _: CallContext) -> cri.StatusResponse:
        answer = cri.StatusResponse()
        answer.status.conditions.append(await self._runtime_condition())
        answer.status.conditions.append(await self._network_condition())
        for name in ("", "runc"):
            handler = answer.runtime_handlers.add(name=name)
            handler.features.recursive_read_only_mounts = self._core.traits.recursive_read_only
        answer.features.supplemental_groups_policy = True
        if request.verbose:
            settings = self._core.settings
            answer.info["config"] = json.dumps(
                {"root": settings.root, "state": settings.state, "cniConfDir": settings.cni_conf_dir}
            )
        return answer

    async def _runtime_condition(self) -> cri.RuntimeCondition:
        condition = cri.RuntimeCondition(type="RuntimeReady", status=True)
        try:
            await self._core.containerd.version()
        except RpcError as error:
            condition.status, condition.reason = False, "ContainerdNotReady"
            condition.message = f"containerd does not answer: {error.message}"
        return condition

    async def _network_condition(self) -> cri.RuntimeCondition:
        condition = cri.RuntimeCondition(type="NetworkReady", status=True)
        try:
            network = await asyncio.to_thread(load_network_list, self._core.settings.cni_conf_dir)
            self._core.cni.check_plugins(network)
        except CniError as error:
            condition.status, condition.reason = False, "NetworkPluginNotReady"
            condition.message = f"Network plugin returns error: {error}"
        return condition

    async def get_container_events(
        self, request: cri.GetEventsRequest, _: CallContext
    ) -> AsyncIterator[cri.ContainerEventResponse]:
        del request
        async for event in self._core.feed.subscribe():
            yield event

    def _announce(self, container_id: str, kind: cri.ContainerEventType) -> None:
        record = self._core.store.container(container_id)
        self._lifecycle.announce(record.id, record.sandbox_id, kind)


def _check_streams(tty: bool, stdin: bool, stdout: bool, stderr: bool) -> None:
    if tty and stderr:
        raise RpcError(Code.INVALID_ARGUMENT, "tty and stderr cannot both be true")
    if not (stdin or stdout or stderr):
        raise RpcError(Code.INVALID_ARGUMENT, "one of stdin, stdout, and stderr must be set")
