"""postStart and preStop: the three handlers a container may name, carried out at the container's own side."""

from component_base.clock import Clock
from kubelet.cri.runtime import Containers, RuntimeFailure
from kubelet.pod import Container, LifecycleHandler, Pod
from kubelet.prober.check import Target, check_http

HTTP_SECONDS = 60.0


class HookError(Exception):
    """The handler failed; the text goes into the FailedPostStartHook or FailedPreStopHook event."""


async def run_hook(
    runtime: Containers,
    clock: Clock,
    pod: Pod,
    container: Container,
    handler: LifecycleHandler,
    container_id: str,
    pod_ip: str,
) -> None:
    """Returns when the handler has succeeded. Its time limit is the caller's affair."""
    if handler.exec is not None:
        await _run_exec(runtime, pod, container, handler.exec.command or [], container_id)
    elif handler.http_get is not None:
        outcome = await check_http(handler.http_get, Target(container_id, container, pod_ip), HTTP_SECONDS)
        if not outcome.ok:
            raise HookError(
                f"HTTP lifecycle hook ({handler.http_get.path}) for Container {container.name!r} in Pod "
                f"{pod.full_name!r} failed - error: {outcome.output}"
            )
    elif handler.sleep is not None:
        await clock.sleep(float(handler.sleep.seconds))
    else:
        # A tcpSocket handler is accepted by the API for compatibility and has never been carried out.
        raise HookError("invalid handler: it names no action this node knows")


async def _run_exec(runtime: Containers, pod: Pod, container: Container, command: list[str], container_id: str) -> None:
    prefix = (
        f"Exec lifecycle hook ({command}) for Container {container.name!r} in Pod {pod.full_name!r} failed - error: "
    )
    try:
        result = await runtime.exec_sync(container_id, command, 0)
    except (TimeoutError, RuntimeFailure) as failure:
        raise HookError(f"{prefix}{failure}") from failure
    if result.exit_code != 0:
        output = (result.stdout + result.stderr).decode(errors="replace")
        raise HookError(f"{prefix}command exited with {result.exit_code}: , message: {output!r}")
