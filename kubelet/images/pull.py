"""Makes sure that a container's image is on the node, by its imagePullPolicy, and says so in upstream's events."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence

from component_base.clock import Clock
from kubelet import times
from kubelet.cri.runtime import Images, RuntimeFailure
from kubelet.events import NORMAL, WARNING, Events, pod_reference
from kubelet.images.credentials import matching_credentials
from kubelet.pod import Container, Pod
from kubelet.sync.backoff import Backoff
from skiff_pb.cri import runtime_pb2 as cri

Secrets = Sequence[tuple[str, dict[str, bytes]]]


class ImageError(Exception):
    """`reason` is the container's waiting reason; `retry_at` is when another attempt makes sense."""

    def __init__(self, reason: str, message: str, retry_at: float) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.retry_at = retry_at


def with_tag(image: str) -> str:
    """A reference without tag and digest means :latest."""
    name = image.rpartition("/")[2]
    return image if ":" in name or "@" in image else f"{image}:latest"


def effective_policy(container: Container) -> str:
    if container.image_pull_policy:
        return container.image_pull_policy
    return "Always" if with_tag(container.image).endswith(":latest") else "IfNotPresent"


class ImagePuller:
    def __init__(self, images: Images, events: Events, clock: Clock, *, parallel: int = 1) -> None:
        self._images = images
        self._events = events
        self._clock = clock
        self._slots = asyncio.Semaphore(parallel)
        self._backoff = Backoff()
        self._failed_at: dict[str, tuple[float, str]] = {}

    async def ensure(
        self,
        pod: Pod,
        container: Container,
        secrets: Callable[[], Awaitable[Secrets]],
        sandbox: cri.PodSandboxConfig | None,
    ) -> cri.Image:
        """The image, present on the node. Raises ImageError with the waiting reason otherwise."""
        image = with_tag(container.image)
        reference = pod_reference(pod, container)
        policy = effective_policy(container)
        try:
            present = await self._images.image_status(image)
        except RuntimeFailure as failure:
            message = f'Failed to inspect image "{image}": {failure}'
            self._events.event(reference, WARNING, "InspectFailed", message)
            raise ImageError("ImageInspectError", message, self._clock.now() + 10) from failure
        if present is not None and policy != "Always":
            text = f'Container image "{container.image}" already present on machine'
            if policy == "IfNotPresent":
                text += " and can be accessed by the pod"
            self._events.event(reference, NORMAL, "Pulled", text)
            return present
        if policy == "Never":
            message = f'Container image "{container.image}" is not present with pull policy of Never'
            self._events.event(reference, WARNING, "ErrImageNeverPull", message)
            raise ImageError("ErrImageNeverPull", message, self._clock.now() + 10)
        self._check_backoff(pod, container)
        return await self._pull(pod, container, image, await secrets(), sandbox)

    def _check_backoff(self, pod: Pod, container: Container) -> None:
        key = f"{pod.uid}_{container.image}"
        failed = self._failed_at.get(key)
        if failed is None:
            return
        until = self._backoff.until(key, failed[0])
        if until <= self._clock.now():
            return
        message = f'Back-off pulling image "{container.image}"'
        self._events.event(pod_reference(pod, container), NORMAL, "BackOff", message)
        raise ImageError("ImagePullBackOff", f"{message}: {failed[1]}", until)

    async def _pull(
        self, pod: Pod, container: Container, image: str, secrets: Secrets, sandbox: cri.PodSandboxConfig | None
    ) -> cri.Image:
        key = f"{pod.uid}_{container.image}"
        reference = pod_reference(pod, container)
        self._events.event(reference, NORMAL, "Pulling", f'Pulling image "{container.image}"')
        asked = self._clock.monotonic()
        async with self._slots:
            began = self._clock.monotonic()
            try:
                await self._try_credentials(image, secrets, sandbox)
                present = await self._images.image_status(image)
                if present is None:
                    raise RuntimeFailure("UNKNOWN", f"image {image} is missing right after its pull")
            except RuntimeFailure as failure:
                now = self._clock.now()
                self._backoff.next(key, now, now)
                self._failed_at[key] = (now, f"ErrImagePull: {failure}")
                message = f'Failed to pull image "{container.image}": {failure}'
                self._events.event(reference, WARNING, "Failed", message)
                raise ImageError("ErrImagePull", str(failure), self._backoff.until(key, now)) from failure
        ended = self._clock.monotonic()
        self._backoff.forget(key)
        self._failed_at.pop(key, None)
        text = (
            f'Successfully pulled image "{container.image}" in {times.go_duration(round(ended - began, 3))} '
            f"({times.go_duration(round(ended - asked, 3))} including waiting). Image size: {present.size} bytes."
        )
        self._events.event(reference, NORMAL, "Pulled", text)
        return present

    async def _try_credentials(self, image: str, secrets: Secrets, sandbox: cri.PodSandboxConfig | None) -> None:
        candidates: list[cri.AuthConfig | None] = [*matching_credentials(image, secrets)]
        for auth in candidates[:-1]:
            with contextlib.suppress(RuntimeFailure):
                await self._images.pull(image, auth, sandbox)
                return
        await self._images.pull(image, candidates[-1] if candidates else None, sandbox)

    def forget(self, uid: str) -> None:
        for key in [k for k in self._failed_at if k.startswith(f"{uid}_")]:
            del self._failed_at[key]
            self._backoff.forget(key)
