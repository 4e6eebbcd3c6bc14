"""Keeps the processes of a plan running: starts each when what it needs is ready, restarts what dies, stops in reverse.

Run as `python -m skiff.cluster.supervisor --state-dir DIR`, in a session of its own. Killing it leaves the services
running; the next one adopts them by pid and command line. It decides nothing about Kubernetes.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from component_base import logs
from component_base.clock import Clock, SystemClock
from component_base.flags import FlagSet
from skiff.cluster import plan, settings, status
from skiff.cluster.layout import DEFAULT_STATE, Layout
from skiff.cluster.plan import Process
from skiff.cluster.probe import Prober

BACKOFF_FIRST_SECONDS = 0.25
BACKOFF_LAST_SECONDS = 30.0
HEALTHY_SECONDS = 60.0  # a process that lived this long starts again at once
PROBE_FIRST_SECONDS = 0.05
PROBE_LAST_SECONDS = 1.0
LOG_BYTES = 32 * 1024 * 1024  # a log that outgrew this is moved aside at the next start of its service

log = logging.getLogger(__name__)


def backoff_seconds(failures: int) -> float:
    """Delay before start number `failures` + 1 in a row of quick deaths."""
    return min(BACKOFF_LAST_SECONDS, BACKOFF_FIRST_SECONDS * 2.0 ** min(failures, 20))


class Supervisor:
    def __init__(self, processes: Sequence[Process], layout: Layout, clock: Clock, prober: Prober) -> None:
        self._processes = list(processes)
        self._layout = layout
        self._clock = clock
        self._prober = prober
        self._stopping = asyncio.Event()
        self._ready = {process.name: asyncio.Event() for process in processes}
        earlier = status.read(layout.status)
        self._adoptable = {p.name: p for p in earlier.processes} if earlier else {}
        self.status = status.ClusterStatus(
            supervisor_pid=os.getpid(),
            started=clock.now(),
            processes=[status.ProcessStatus(name=p.name, argv=list(p.argv)) for p in processes],
        )
        self._by_name = {p.name: p for p in self.status.processes}

    async def run(self) -> None:
        """Until `stop`; then every process was asked to end, last started first, and has ended."""
        self._publish()
        try:
            async with asyncio.TaskGroup() as group:
                loops = [group.create_task(self._keep(process)) for process in self._processes]
                await self._stopping.wait()
                for loop in loops:
                    loop.cancel()
        finally:
            for process in reversed(self._processes):
                await self._terminate(process)
            self._publish()

    def stop(self) -> None:
        self._stopping.set()

    async def _keep(self, process: Process) -> None:
        """One process for ever: wait for its needs, start or adopt, probe, wait for its end, back off."""
        failures = 0
        state = self._by_name[process.name]
        while True:
            await asyncio.gather(*(self._ready[name].wait() for name in process.needs if name in self._ready))
            began = self._clock.monotonic()
            try:
                pid, ended = await self._start(process, failures)
            except OSError as error:
                self._set(state, "backoff", last_exit=f"could not start: {error}")
                failures += 1
                await self._clock.sleep(backoff_seconds(failures))
                continue
            self._set(state, "starting", pid=pid)
            probing = asyncio.ensure_future(self._probe(process, state))
            try:
                reason = await ended
            finally:
                probing.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await probing
            self._ready[process.name].clear()
            failures = 0 if self._clock.monotonic() - began >= HEALTHY_SECONDS else failures + 1
            state.restarts += 1
            self._set(state, "backoff", pid=0, last_exit=reason)
            log.warning("%s %s; starting it again in %.2f s", process.name, reason, backoff_seconds(failures))
            await self._clock.sleep(backoff_seconds(failures))

    async def _start(self, process: Process, failures: int) -> tuple[int, asyncio.Future[str]]:
        earlier = self._adoptable.pop(process.name, None)
        if earlier is not None and failures == 0 and status.is_running(earlier.pid, list(process.argv)):
            log.info("adopted %s, pid %d", process.name, earlier.pid)
            return earlier.pid, wait_for_foreign(earlier.pid)
        if earlier is not None and status.is_running(earlier.pid, earlier.argv):
            await end_foreign(earlier.pid, process.stop_seconds)
        path = self._layout.log_of(process.name)
        turn_over(path)
        with path.open("ab") as output:
            child = await asyncio.create_subprocess_exec(
                *process.argv,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                env={**os.environ, **process.environment},
            )

        async def end() -> str:
            return describe_exit(await child.wait())

        return child.pid, asyncio.ensure_future(end())

    async def _probe(self, process: Process, state: status.ProcessStatus) -> None:
        pause = PROBE_FIRST_SECONDS
        while not await self._prober.is_ready(process.probe):
            await self._clock.sleep(pause)
            pause = min(PROBE_LAST_SECONDS, pause * 1.2)
        state.ready_at = self._clock.now()
        self._set(state, "ready")
        self._ready[process.name].set()

    async def _terminate(self, process: Process) -> None:
        state = self._by_name[process.name]
        if status.is_running(state.pid, list(process.argv)):
            await end_foreign(state.pid, process.stop_seconds)
        self._set(state, "stopped", pid=0)

    def _set(
        self, process: status.ProcessStatus, state: status.State, pid: int | None = None, last_exit: str | None = None
    ) -> None:
        process.state = state
        process.since = self._clock.now()
        if pid is not None:
            process.pid = pid
        if last_exit is not None:
            process.last_exit = last_exit
        self._publish()

    def _publish(self) -> None:
        try:
            status.write(self._layout.status, self.status)
        except OSError as error:  # A full disk must not take the cluster down with it.
            log.error("cannot write %s: %s", self._layout.status, error)


def describe_exit(code: int) -> str:
    if code >= 0:
        return f"exited with code {code}"
    try:
        return f"was ended by {signal.Signals(-code).name}"
    except ValueError:
        return f"was ended by signal {-code}"


def wait_for_foreign(pid: int) -> asyncio.Future[str]:
    """Resolves when a process that is not our child ends (pidfd, Linux 5.3)."""
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[str] = loop.create_future()
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        ended.set_result("had ended")
        return ended

    def on_end() -> None:
        loop.remove_reader(descriptor)
        os.close(descriptor)
        if not ended.done():
            ended.set_result("ended")

    loop.add_reader(descriptor, on_end)
    return ended


async def end_foreign(pid: int, patience_seconds: float) -> None:
    """SIGTERM, then SIGKILL after `patience_seconds`. Returns when it is gone."""
    ended = wait_for_foreign(pid)
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(asyncio.shield(ended), patience_seconds)
            return


def turn_over(path: Path) -> None:
    """Keep one earlier log file; more is the business of the host's own rotation."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(FileNotFoundError):
        if path.stat().st_size > LOG_BYTES:
            path.replace(path.with_suffix(".log.1"))


async def supervise(layout: Layout) -> None:
    wanted = settings.load(layout.settings)
    if wanted is None:
        raise SystemExit(f"supervisor: no cluster in {layout.state}; `skiff up` makes one")
    async with Prober() as prober:
        supervisor = Supervisor(plan.processes(wanted, layout), layout, SystemClock(), prober)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, supervisor.stop)
        layout.supervisor_pid.write_text(f"{os.getpid()}\n")
        try:
            await supervisor.run()
        finally:
            layout.supervisor_pid.unlink(missing_ok=True)


def main(arguments: Sequence[str] | None = None) -> int:
    flags = FlagSet("supervisor", "keep the services of a cluster on this host running")
    flags.string("state-dir", str(DEFAULT_STATE), "folder that holds the cluster's state")
    values = flags.parse(sys.argv[1:] if arguments is None else list(arguments))
    logs.setup("supervisor", 0)
    asyncio.run(supervise(Layout.of(Path(values["state-dir"]))))
    return 0


if __name__ == "__main__":
    sys.exit(main())
