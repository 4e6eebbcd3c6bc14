"""The HTTPS API's routes: logs, streams, pods, statistics. `front` has let the request in."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec
from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse, PlainTextResponse, StreamingResponse

from component_base import metrics
from component_base.clock import Clock
from kubelet import times
from kubelet.agent import Agent
from kubelet.cri.runtime import RuntimeFailure
from kubelet.pod import to_object
from kubelet.server.logs import LogOptions, read_log
from kubelet.server.splice import splice
from kubelet.server.stats import Stats, cadvisor_metrics, resource_metrics, summary
from kubelet.sync.observed import ContainerSeen, State
from kubelet.sync.worker import PodWorker
from skiff_pb.cri import runtime_pb2 as cri

JSON = dict[str, Any]


class Refused(Exception):
    """An answer other than success, with the text that clients see."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code
        self.text = text


def api(agent: Agent, stats: Stats, clock: Clock, started: float) -> FastAPI:
    """What `front` leaves to it: no health, no authentication."""
    app = FastAPI(title="kubelet", docs_url=None, redoc_url=None, openapi_url=None)
    _pod_routes(app, agent)
    _stream_routes(app, agent)
    _log_routes(app, agent, clock)
    _stats_routes(app, agent, stats, started)

    @app.exception_handler(Refused)
    async def refused(request: Request, error: Refused) -> Response:
        return PlainTextResponse(error.text, error.code)

    @app.exception_handler(RuntimeFailure)
    async def failed(request: Request, error: RuntimeFailure) -> Response:
        return PlainTextResponse(str(error), 500)

    return app


def _find(agent: Agent, namespace: str, name: str, uid: str = "") -> PodWorker:
    worker = agent.fleet.find(namespace, name, uid)
    if worker is None:
        raise Refused(404, f'pod "{name}_{namespace}" does not exist')
    return worker


def _running(worker: PodWorker, container: str) -> ContainerSeen:
    last = worker.seen.latest(container)
    if last is None or last.state is not State.RUNNING:
        raise Refused(404, f'container not found ("{container}")')
    return last


def _pod_routes(app: FastAPI, agent: Agent) -> None:
    def listed(workers: list[PodWorker]) -> Response:
        items = []
        for worker in workers:
            pod = msgspec.structs.replace(worker.pod, status=worker.status)
            items.append(to_object(pod))
        return JSONResponse({"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": items})

    @app.get("/pods")
    @app.get("/pods/")
    async def pods() -> Response:
        return listed(list(agent.fleet.workers.values()))

    @app.get("/runningpods")
    @app.get("/runningpods/")
    async def running() -> Response:
        return listed([w for w in agent.fleet.workers.values() if w.seen.running])

    @app.get("/configz")
    async def configuration() -> Response:
        settings = agent.settings
        return JSONResponse(
            {
                "kubeletconfig": {
                    "kind": "KubeletConfiguration",
                    "apiVersion": "kubelet.config.k8s.io/v1beta1",
                    "address": settings.address,
                    "port": settings.port,
                    "clusterDomain": settings.cluster_domain,
                    "clusterDNS": list(settings.cluster_dns),
                    "maxPods": settings.max_pods,
                    "podPidsLimit": settings.pod_pids_limit or -1,
                    "containerLogMaxSize": str(settings.log_max_size),
                    "containerLogMaxFiles": settings.log_max_files,
                    "imageGCHighThresholdPercent": settings.image_gc_high,
                    "imageGCLowThresholdPercent": settings.image_gc_low,
                    "evictionHard": dict(settings.eviction_hard),
                    "containerRuntimeEndpoint": settings.runtime_endpoint,
                    "cgroupDriver": "cgroupfs",
                    "failSwapOn": False,
                }
            }
        )


def _stream_routes(app: FastAPI, agent: Agent) -> None:
    async def joined(request: Request, url: Callable[[], Awaitable[str]]) -> Response:
        upgrade = request.scope.get("extensions", {}).get("skiff.upgrade")
        if upgrade is None:
            raise Refused(400, "you must specify at least 1 of stdin, stdout, stderr, and ask for an upgrade")
        target = await url()
        reader, writer = await upgrade.hijack()
        await splice(reader, writer, request.method, target, request.scope["headers"])
        return Response()

    async def execute(request: Request, namespace: str, pod: str, container: str, uid: str = "") -> Response:
        seen = _running(_find(agent, namespace, pod, uid), container)
        asked = request.query_params
        wanted = cri.ExecRequest(container_id=seen.id, cmd=asked.getlist("command"), **_streams(asked))
        return await joined(request, lambda: agent.runtime.exec_url(wanted))

    async def attach(request: Request, namespace: str, pod: str, container: str, uid: str = "") -> Response:
        worker = _find(agent, namespace, pod, uid)
        seen = _running(worker, container)
        streams = _streams(request.query_params)
        spec = worker.pod.container(container)
        streams["tty"] = bool(spec is not None and spec.tty)
        if streams["tty"]:
            streams["stderr"] = False
        wanted = cri.AttachRequest(container_id=seen.id, **streams)
        return await joined(request, lambda: agent.runtime.attach_url(wanted))

    async def forward(request: Request, namespace: str, pod: str, uid: str = "") -> Response:
        worker = _find(agent, namespace, pod, uid)
        sandbox = worker.seen.sandbox
        if sandbox is None or not sandbox.ready:
            raise Refused(500, f'pod not found ("{pod}_{namespace}")')
        ports = [int(p) for value in request.query_params.getlist("port") for p in value.split(",") if p]
        return await joined(request, lambda: agent.runtime.port_forward_url(sandbox.id, ports))

    async def run(request: Request, namespace: str, pod: str, container: str, uid: str = "") -> Response:
        seen = _running(_find(agent, namespace, pod, uid), container)
        command = request.query_params.get("cmd", "").split()
        result = await agent.runtime.exec_sync(seen.id, command, 0)
        return Response(result.stdout + result.stderr, 200 if result.exit_code == 0 else 500)

    for prefix, handler in (("exec", execute), ("attach", attach), ("run", run)):
        methods = ["POST"] if prefix == "run" else ["GET", "POST"]
        app.add_api_route(f"/{prefix}/{{namespace}}/{{pod}}/{{container}}", handler, methods=methods)
        app.add_api_route(f"/{prefix}/{{namespace}}/{{pod}}/{{uid}}/{{container}}", handler, methods=methods)
    app.add_api_route("/portForward/{namespace}/{pod}", forward, methods=["GET", "POST"])
    app.add_api_route("/portForward/{namespace}/{pod}/{uid}", forward, methods=["GET", "POST"])


def _streams(asked: Mapping[str, str]) -> dict[str, bool]:
    """The apiserver's names and those of the API's own options."""

    def on(*names: str) -> bool:
        return any(asked.get(name) in ("1", "true") for name in names)

    tty = on("tty")
    return {
        "stdin": on("input", "stdin"),
        "stdout": on("output", "stdout"),
        "stderr": on("error", "stderr") and not tty,
        "tty": tty,
    }


def _log_routes(app: FastAPI, agent: Agent, clock: Clock) -> None:
    @app.get("/containerLogs/{namespace}/{pod}/{container}")
    async def logs(request: Request, namespace: str, pod: str, container: str) -> Response:
        worker = agent.fleet.find(namespace, pod)
        if worker is None:
            raise Refused(404, f'pod "{pod}_{namespace}" does not exist')
        if worker.pod.container(container) is None:
            raise Refused(404, f'container "{container}" not found in pod "{pod}"')
        options = log_options(request.query_params, clock.now())
        previous = request.query_params.get("previous") in ("true", "1")
        seen = log_source(worker, container, previous)
        path = Path(seen.log_path)
        if not await asyncio.to_thread(path.exists):
            raise Refused(404, f"the log file of container {container} is not there (any more): {path}")

        def runs() -> bool:
            last = worker.seen.latest(container)
            return last is not None and last.id == seen.id and last.state in (State.RUNNING, State.CREATED)

        return StreamingResponse(read_log(path, options, clock, runs), media_type="text/plain")


def log_options(asked: Mapping[str, str], now: float) -> LogOptions:
    """Raises Refused with 422 for numbers that make no sense, as the apiserver's validation does."""

    def number(name: str, least: int) -> int | None:
        text = asked.get(name)
        if not text:
            return None
        try:
            value = int(text)
        except ValueError:
            raise Refused(400, f'{{"message": "unable to decode query: {name}={text} is no number"}}') from None
        if value < least:
            raise Refused(422, f"{name}: must be greater than or equal to {least}")
        return value

    seconds, moment = number("sinceSeconds", 1), asked.get("sinceTime")
    since = now - seconds if seconds is not None else times.parse(moment) if moment else None
    return LogOptions(
        follow=asked.get("follow") in ("true", "1"),
        tail=number("tailLines", 0),
        since=since,
        timestamps=asked.get("timestamps") in ("true", "1"),
        limit=number("limitBytes", 1),
        stream=asked.get("stream") or "All",
    )


def log_source(worker: PodWorker, container: str, previous: bool) -> ContainerSeen:
    """The attempt whose log is meant."""
    name = worker.pod.metadata.name
    attempts = [c for c in worker.seen.attempts(container) if c.log_path]
    if previous:
        ended = [c for c in attempts[1:] if c.state is State.EXITED]
        if not ended and attempts and attempts[0].state is State.EXITED and _waits(worker, container):
            ended = attempts[:1]
        if not ended:
            raise Refused(400, f'previous terminated container "{container}" in pod "{name}" not found')
        return ended[0]
    started = [c for c in attempts if c.state in (State.RUNNING, State.EXITED)]
    if started:
        return started[0]
    reason = _waits(worker, container)
    if not reason:
        raise Refused(400, f'container "{container}" in pod "{name}" is not available')
    reason = {
        "ErrImagePull": "image can't be pulled",
        "ImagePullBackOff": "trying and failing to pull image",
    }.get(reason, reason)
    raise Refused(400, f'container "{container}" in pod "{name}" is waiting to start: {reason}')


def _waits(worker: PodWorker, container: str) -> str:
    for key in ("containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses"):
        for status in worker.status.get(key) or ():
            if status["name"] == container:
                return str((status["state"].get("waiting") or {}).get("reason", ""))
    return ""


def _stats_routes(app: FastAPI, agent: Agent, stats: Stats, started: float) -> None:
    machine = agent.machine

    @app.get("/stats/summary")
    @app.get("/stats/summary/")
    async def show_summary() -> Response:
        return JSONResponse(summary(await stats.sample(), agent.settings.hostname, started))

    @app.get("/metrics/resource")
    async def resource() -> Response:
        return Response(resource_metrics(await stats.sample()), media_type=metrics.CONTENT_TYPE)

    @app.get("/metrics/cadvisor")
    async def cadvisor() -> Response:
        text = cadvisor_metrics(await stats.sample(), machine.cpus, machine.memory_bytes)
        return Response(text, media_type=metrics.CONTENT_TYPE)

    @app.get("/metrics/probes")
    async def probes() -> Response:
        lines = ["# HELP prober_probe_total Probes by kind and result.", "# TYPE prober_probe_total counter"]
        for (kind, result), count in sorted(agent.prober.totals.items()):
            lines.append(f'prober_probe_total{{probe_type="{kind}",result="{result}"}} {count}')
        return Response("\n".join(lines) + "\n", media_type=metrics.CONTENT_TYPE)

    @app.get("/metrics")
    async def process() -> Response:
        running = sum(len(w.seen.running) for w in agent.fleet.workers.values())
        own = (
            f'# TYPE kubelet_node_name gauge\nkubelet_node_name{{node="{agent.settings.hostname}"}} 1\n'
            f"# TYPE kubelet_running_pods gauge\nkubelet_running_pods {len(agent.fleet.counted())}\n"
            "# TYPE kubelet_running_containers gauge\n"
            f'kubelet_running_containers{{container_state="running"}} {running}\n'
            f"# TYPE kubelet_managed_pods gauge\nkubelet_managed_pods {len(agent.fleet.workers)}\n"
        )
        return Response(metrics.exposition() + own.encode(), media_type=metrics.CONTENT_TYPE)
