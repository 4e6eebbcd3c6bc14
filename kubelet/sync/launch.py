"""Brings one container to life: image, environment, mounts, create, start, postStart.

Failures carry the waiting reason that the status shows.
"""

import asyncio
import logging
import secrets as entropy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from msgspec import structs

from apimachinery.errors import StatusError
from component_base.clock import Clock
from kubelet.api import Api
from kubelet.containers.config import HostMount, container_config, log_directory
from kubelet.containers.dns import host_name_and_domain, host_network_hosts_file, hosts_file
from kubelet.containers.env import make_environment, named_objects
from kubelet.containers.facts import ConfigError, NodeFacts, ServiceFacts
from kubelet.containers.security import run_as_non_root, run_as_user
from kubelet.cri.runtime import Containers, RuntimeFailure
from kubelet.events import NORMAL, WARNING, Events, pod_reference
from kubelet.images.pull import ImageError, ImagePuller
from kubelet.objects import ObjectStore, fetch_secret
from kubelet.pod import Container, Pod
from kubelet.sync.hooks import HookError, run_hook
from kubelet.volumes.setup import PodVolumes
from skiff_pb.cri import runtime_pb2 as cri

log = logging.getLogger(__name__)


class LaunchError(Exception):
    """`reason` is the container's waiting reason; `retry_at` says when another attempt makes sense (0: at once)."""

    def __init__(self, reason: str, message: str, retry_at: float = 0.0) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.retry_at = retry_at


@dataclass(frozen=True, slots=True)
class LaunchPaths:
    root: Path
    """The kubelet's root folder, with pods/<uid> below."""
    pod_logs: Path
    hosts: Path = Path("/etc/hosts")


@dataclass(frozen=True, slots=True)
class Site:
    """Where a container goes: its sandbox, and what is known of it."""

    sandbox_id: str
    sandbox: cri.PodSandboxConfig
    pod_ips: tuple[str, ...] = ()
    target_id: str = ""


class Launcher:
    def __init__(
        self,
        *,
        runtime: Containers,
        puller: ImagePuller,
        volumes: PodVolumes,
        objects: ObjectStore,
        api: Api,
        events: Events,
        clock: Clock,
        node: Callable[[], NodeFacts],
        services: Callable[[], Sequence[ServiceFacts]],
        paths: LaunchPaths,
        cluster_domain: str,
    ) -> None:
        self._runtime = runtime
        self._puller = puller
        self._volumes = volumes
        self._objects = objects
        self._api = api
        self._events = events
        self._clock = clock
        self._node = node
        self._services = services
        self._paths = paths
        self._domain = cluster_domain

    async def launch(self, pod: Pod, container: Container, attempt: int, site: Site) -> str:
        """The id of the running container."""
        image = await self._image(pod, container, site)
        volume_images = await self._volume_images(pod, container, site)
        reference = pod_reference(pod, container)
        try:
            config = await self._configuration(pod, container, attempt, image, volume_images, site)
        except ConfigError as error:
            self._events.event(reference, WARNING, "Failed", f"Error: {error}")
            raise LaunchError("CreateContainerConfigError", str(error), self._clock.now() + 5) from error
        try:
            container_id = await self._runtime.create_container(site.sandbox_id, config, site.sandbox)
        except RuntimeFailure as failure:
            self._events.event(reference, WARNING, "Failed", f"Error: {failure.message}")
            raise LaunchError("CreateContainerError", failure.message, self._clock.now() + 5) from failure
        self._events.event(reference, NORMAL, "Created", "Container created")
        try:
            await self._runtime.start_container(container_id)
        except RuntimeFailure as failure:
            self._events.event(reference, WARNING, "Failed", f"Error: {failure.message}")
            raise LaunchError("RunContainerError", failure.message, self._clock.now() + 10) from failure
        self._events.event(reference, NORMAL, "Started", "Container started")
        await self._post_start(pod, container, container_id, site)
        return container_id

    async def _image(self, pod: Pod, container: Container, site: Site) -> cri.Image:
        async def secrets() -> list[tuple[str, dict[str, bytes]]]:
            found = []
            for reference in pod.spec.image_pull_secrets or ():
                secret = await fetch_secret(self._api, pod.metadata.namespace, reference.name)
                if secret is not None:
                    found.append(secret)
            return found

        try:
            return await self._puller.ensure(pod, container, secrets, site.sandbox)
        except ImageError as error:
            self._events.event(pod_reference(pod, container), WARNING, "Failed", f"Error: {error.reason}")
            raise LaunchError(error.reason, error.message, error.retry_at) from error
        except StatusError as error:
            raise LaunchError("ErrImagePull", error.message, self._clock.now() + 5) from error

    async def _volume_images(self, pod: Pod, container: Container, site: Site) -> dict[str, str]:
        """Ids of the images that the container mounts as volumes, by volume; each is pulled by its own policy."""
        mounted = {mount.name for mount in container.volume_mounts or ()}
        found = {}
        for volume in pod.spec.volumes or ():
            if volume.image is not None and volume.name in mounted:
                source = volume.image
                stand_in = structs.replace(container, image=source.reference, image_pull_policy=source.pull_policy)
                found[volume.name] = (await self._image(pod, stand_in, site)).id
        return found

    async def _configuration(
        self,
        pod: Pod,
        container: Container,
        attempt: int,
        image: cri.Image,
        volume_images: dict[str, str],
        site: Site,
    ) -> cri.ContainerConfig:
        maps, secrets = named_objects(pod, container)
        namespace = pod.metadata.namespace
        keys = [("configmaps", namespace, n) for n in maps] + [("secrets", namespace, n) for n in secrets]
        node = self._node()
        environment = make_environment(
            pod,
            container,
            objects=self._objects.current(namespace, keys),
            services=self._services(),
            node=node,
            pod_ips=site.pod_ips,
        )
        check_non_root(pod, container, image)
        volumes = await asyncio.to_thread(self._volumes.mounts, pod, container, environment, volume_images)
        mounts, message_path = await asyncio.to_thread(self._own_files, pod, container, volumes, site.pod_ips)
        return container_config(
            pod,
            container,
            attempt=attempt,
            image_id=image.id,
            environment=environment,
            mounts=mounts,
            node_memory=node.memory_bytes,
            message_host_path=message_path,
            image_user="" if image.HasField("uid") else image.username,
            image_uid=image.uid.value if image.HasField("uid") else (None if image.username else 0),
            target_id=site.target_id,
        )

    def _own_files(
        self, pod: Pod, container: Container, volumes: Sequence[HostMount], ips: tuple[str, ...]
    ) -> tuple[list[HostMount], str]:
        """`volumes`, and what every container gets besides; and where it may leave its last words."""
        mounts = list(volumes)
        folder = self._paths.root / "pods" / pod.uid
        logs = Path(log_directory(str(self._paths.pod_logs), pod)) / container.name
        try:
            logs.mkdir(parents=True, exist_ok=True)
            if all(m.container_path.rstrip("/") != "/etc/hosts" for m in mounts):
                mounts.append(HostMount("/etc/hosts", str(self._hosts(pod, folder, ips))))
            message = ""
            if container.termination_message_path:
                own = folder / "containers" / container.name
                own.mkdir(parents=True, exist_ok=True)
                file = own / entropy.token_hex(4)
                file.touch()
                file.chmod(0o666)
                message = str(file)
                mounts.append(HostMount(container.termination_message_path, message))
        except OSError as error:
            raise ConfigError(f"cannot prepare the files of the container: {error}") from error
        return mounts, message

    def _hosts(self, pod: Pod, folder: Path, ips: tuple[str, ...]) -> Path:
        path = folder / "etc-hosts"
        if pod.spec.host_network:
            text = host_network_hosts_file(self._paths.hosts.read_text(), pod.spec.host_aliases)
        else:
            name, domain = host_name_and_domain(pod, self._domain)
            text = hosts_file(ips, name, domain, pod.spec.host_aliases)
        folder.mkdir(parents=True, exist_ok=True)
        # Written in place: the running containers have this very file mounted.
        path.write_text(text)
        path.chmod(0o644)
        return path

    async def _post_start(self, pod: Pod, container: Container, container_id: str, site: Site) -> None:
        handler = container.lifecycle.post_start if container.lifecycle is not None else None
        if handler is None:
            return
        pod_ip = site.pod_ips[0] if site.pod_ips else ""
        try:
            await run_hook(self._runtime, self._clock, pod, container, handler, container_id, pod_ip)
        except HookError as error:
            log.warning("postStart of %s in %s: %s", container.name, pod.full_name, error)
            reference = pod_reference(pod, container)
            self._events.event(reference, WARNING, "FailedPostStartHook", "PostStartHook failed")
            self._events.event(reference, NORMAL, "Killing", "FailedPostStartHook")
            try:
                await self._runtime.stop_container(container_id, pod.spec.termination_grace_period_seconds)
            except RuntimeFailure as failure:
                log.warning("cannot stop %s of %s after its postStart hook: %s", container.name, pod.full_name, failure)
            raise LaunchError("PostStartHookError", str(error), 0.0) from error


def check_non_root(pod: Pod, container: Container, image: cri.Image) -> None:
    """runAsNonRoot is checked before the container exists. Raises ConfigError."""
    if not run_as_non_root(pod, container):
        return
    where = f'(pod: "{pod.full_name}", container: {container.name})'
    user = run_as_user(pod, container)
    if user is not None:
        if user == 0:
            raise ConfigError(f"container's runAsUser breaks non-root policy {where}")
        return
    if image.HasField("uid"):
        if image.uid.value == 0:
            raise ConfigError(f"container has runAsNonRoot and image will run as root {where}")
    elif image.username:
        raise ConfigError(
            f"container has runAsNonRoot and image has non-numeric user ({image.username}), "
            f"cannot verify user is non-root {where}"
        )
    else:
        raise ConfigError(f"container has runAsNonRoot and image will run as root {where}")
