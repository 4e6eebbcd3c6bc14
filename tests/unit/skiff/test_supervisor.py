"""The supervisor with real small processes: order, restarts, adoption, stop."""

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from component_base.clock import SystemClock
from skiff.cluster import status
from skiff.cluster.layout import Layout
from skiff.cluster.plan import Probe, Process
from skiff.cluster.supervisor import Supervisor, backoff_seconds, describe_exit

SLEEP = (sys.executable, "-c", "import time; time.sleep(300)")


class AlwaysReady:
    """A prober for processes without ports."""

    async def is_ready(self, probe: Probe) -> bool:
        return True


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    found = Layout.of(tmp_path)
    found.run.mkdir()
    found.logs.mkdir()
    return found


def supervisor(layout: Layout, *processes: Process) -> Supervisor:
    return Supervisor(processes, layout, SystemClock(), AlwaysReady())  # type: ignore[arg-type]


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110 - other processes are waited for
            await asyncio.sleep(0.02)


def state(layout: Layout, name: str) -> status.ProcessStatus:
    found = status.read(layout.status)
    assert found is not None
    return next(p for p in found.processes if p.name == name)


async def test_what_is_needed_starts_first_and_what_dies_comes_back(layout: Layout) -> None:
    running = supervisor(layout, Process("store", SLEEP, Probe()), Process("server", SLEEP, Probe(), needs=("store",)))
    task = asyncio.ensure_future(running.run())
    await until(lambda: layout.status.exists() and state(layout, "server").state == "ready")
    assert state(layout, "store").since <= state(layout, "server").since
    old = state(layout, "server").pid
    os.kill(old, signal.SIGKILL)
    await until(lambda: state(layout, "server").pid not in (0, old) and state(layout, "server").state == "ready")
    assert state(layout, "server").restarts == 1
    assert state(layout, "server").last_exit == "was ended by SIGKILL"
    running.stop()
    await task
    assert state(layout, "server").state == "stopped"
    assert not status.is_running(state(layout, "store").pid, list(SLEEP))


async def test_a_new_supervisor_adopts_what_the_killed_one_left(layout: Layout) -> None:
    process = Process("server", SLEEP, Probe())
    first = supervisor(layout, process)
    task = asyncio.ensure_future(first.run())
    await until(lambda: layout.status.exists() and state(layout, "server").state == "ready")
    pid = state(layout, "server").pid
    second = supervisor(layout, process)
    other = asyncio.ensure_future(second.run())
    await until(lambda: second._by_name["server"].state == "ready")
    assert second._by_name["server"].pid == pid
    second.stop()
    await other
    assert not status.is_running(pid, list(SLEEP))
    first.stop()
    await task


async def test_a_program_that_does_not_exist_is_noted_and_tried_again(layout: Layout) -> None:
    running = supervisor(layout, Process("broken", ("/no/such/program",), Probe()))
    task = asyncio.ensure_future(running.run())
    await until(lambda: layout.status.exists() and "could not start" in state(layout, "broken").last_exit)
    running.stop()
    await task


def test_delays_grow_to_half_a_minute() -> None:
    assert [backoff_seconds(n) for n in (0, 1, 2, 50)] == [0.25, 0.5, 1.0, 30.0]


def test_ends_are_described() -> None:
    assert describe_exit(3) == "exited with code 3"
    assert describe_exit(-15) == "was ended by SIGTERM"


def test_a_reused_pid_is_not_ours() -> None:
    assert not status.is_running(os.getpid(), ["something", "else"])
