"""Standard streams on real FIFOs: the log, rotation, attached clients, and a writer that comes and goes."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from component_base.clock import ManualClock
from kubelet.cri_shim.container_io import BACKLOG, ContainerIO
from kubelet.cri_shim.fifos import FifoReader, FifoWriter, make_fifo


@pytest.fixture
async def io(tmp_path: Path) -> AsyncIterator[ContainerIO]:
    made = ContainerIO(
        str(tmp_path / "io"),
        ManualClock(1_767_323_045),
        stdin=True,
        tty=False,
        log_path=str(tmp_path / "logs" / "c.log"),
    )
    made.prepare()
    made.open()
    yield made
    made.close()


class Writers:
    """As containerd's shim: both ends of each FIFO."""

    def __init__(self, io: ContainerIO) -> None:
        self.stdout = os.open(io.stdout_path, os.O_RDWR)
        self.stderr = os.open(io.stderr_path, os.O_RDWR)

    def close(self) -> None:
        os.close(self.stdout)
        os.close(self.stderr)


def texts(path: Path) -> list[str]:
    return [line.split(" ", 1)[1] for line in path.read_text().splitlines()] if path.exists() else []


async def until(reached: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not reached():  # noqa: ASYNC110 - the pipes give no sign
            await asyncio.sleep(0.001)


async def test_lines_of_both_streams_reach_the_log(io: ContainerIO, tmp_path: Path) -> None:
    writers = Writers(io)
    os.write(writers.stdout, b"one\ntwo")
    os.write(writers.stderr, b"bad\n")
    writers.close()
    await io.wait_drained(30)
    found = texts(tmp_path / "logs" / "c.log")
    assert sorted(found) == ["stderr F bad", "stdout F one", "stdout P two"]


async def test_after_reopening_the_old_file_is_left_alone(io: ContainerIO, tmp_path: Path) -> None:
    log, old = tmp_path / "logs" / "c.log", tmp_path / "logs" / "c.log.1"
    writers = Writers(io)
    os.write(writers.stdout, b"before\n")
    await until(lambda: bool(texts(log)))
    log.rename(old)
    io.reopen_log()
    os.write(writers.stdout, b"after\n")
    writers.close()
    await io.wait_drained(30)
    assert (texts(old), texts(log)) == (["stdout F before"], ["stdout F after"])


async def test_attached_clients_see_bytes_and_the_end(io: ContainerIO) -> None:
    subscriber = io.subscribe()
    writers = Writers(io)
    os.write(writers.stdout, b"no newline")
    assert await subscriber.queue.get() == ("stdout", b"no newline")
    writers.close()
    assert await subscriber.queue.get() is None
    late = io.subscribe()
    assert await late.queue.get() is None


async def test_the_first_client_hears_what_was_said_before_it_came(tmp_path: Path) -> None:
    made = ContainerIO(str(tmp_path / "io"), ManualClock(0), stdin=False, tty=False, log_path="", greet=True)
    made.prepare()
    made.open()
    writers = Writers(made)
    for number in range(20):
        os.write(writers.stdout if number % 2 else writers.stderr, b"%d\n" % number)
        await asyncio.sleep(0.001)
    writers.close()
    await made.wait_drained(30)
    subscriber = made.subscribe()
    said = []
    while (item := subscriber.queue.get_nowait()) is not None:
        said.append(item[1])
    assert sorted(b"".join(said).split(), key=int) == [b"%d" % number for number in range(20)]
    assert made.subscribe().queue.get_nowait() is None


async def test_a_client_that_does_not_read_is_dropped(io: ContainerIO) -> None:
    subscriber = io.subscribe()
    writers = Writers(io)
    for _ in range(BACKLOG + 1):
        size = subscriber.queue.qsize()
        os.write(writers.stdout, b"x\n")
        await until(lambda size=size: subscriber.queue.qsize() > size or subscriber.dropped)  # type: ignore[misc]
    assert subscriber.dropped
    items = [subscriber.queue.get_nowait() for _ in range(subscriber.queue.qsize())]
    assert items[-1] is None
    writers.close()


async def test_input_is_written_and_can_be_closed(io: ContainerIO) -> None:
    reader = FifoReader(io.stdin_path)
    await io.write_stdin(b"typed")
    assert await reader.read() == b"typed"
    io.close_stdin()
    assert await reader.read() == b""
    reader.close()


async def test_a_second_life_goes_on_reading_the_same_fifos(tmp_path: Path) -> None:
    log = tmp_path / "c.log"

    def life() -> ContainerIO:
        made = ContainerIO(str(tmp_path / "io"), ManualClock(0), stdin=False, tty=True, log_path=str(log))
        made.prepare()
        made.open()
        return made

    first = life()
    writer = os.open(first.stdout_path, os.O_RDWR)
    first.close()
    os.write(writer, b"while away\n")
    second = life()
    os.write(writer, b"and back\n")
    os.close(writer)
    await second.wait_drained(30)
    second.close(remove=True)
    assert texts(log) == ["stdout F while away", "stdout F and back"]
    assert not (tmp_path / "io").exists()


async def test_a_full_fifo_makes_the_writer_wait(tmp_path: Path) -> None:
    path = str(tmp_path / "fifo")
    make_fifo(path)
    make_fifo(path)
    reader, writer = FifoReader(path), FifoWriter(path)
    data = os.urandom(1 << 20)
    received = b""
    async with asyncio.TaskGroup() as group:
        writing = group.create_task(writer.write(data))
        while len(received) < len(data):
            received += await reader.read()
        await writing
    assert received == data
    writer.close()
    reader.close()
    with pytest.raises(BrokenPipeError):
        await writer.write(b"x")
