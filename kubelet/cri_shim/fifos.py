"""FIFOs between containerd's shim process and us: non-blocking ends that asyncio can wait on.

containerd's shim holds both ends of every FIFO itself, so a container neither dies nor gets EOF when we go away; it
blocks only once the pipe is full. We therefore make the pipe larger than the default.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os

PIPE_SIZE = 256 << 10
READ_SIZE = 64 << 10


def make_fifo(path: str) -> None:
    with contextlib.suppress(FileExistsError):
        os.mkfifo(path, 0o600)


def open_reader(path: str) -> int:
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with contextlib.suppress(OSError):
        # Beyond the per-user soft limit the kernel keeps the default size, which works as well.
        fcntl.fcntl(descriptor, fcntl.F_SETPIPE_SZ, PIPE_SIZE)
    return descriptor


class FifoReader:
    """Reads to the end one chunk at a time; the reader's pace is the writer's."""

    def __init__(self, path: str) -> None:
        self._descriptor = open_reader(path)

    async def read(self) -> bytes:
        """The next bytes, empty at the end. Waits for the first writer rather than taking its absence for the end."""
        if self._descriptor < 0:
            return b""
        while True:
            await _ready(self._descriptor, write=False)
            if self._descriptor < 0:
                return b""
            try:
                return os.read(self._descriptor, READ_SIZE)
            except BlockingIOError:
                continue

    def close(self) -> None:
        if self._descriptor >= 0:
            asyncio.get_running_loop().remove_reader(self._descriptor)
            os.close(self._descriptor)
            self._descriptor = -1


class FifoWriter:
    """Opened for both directions, so that opening neither blocks nor fails before the other side is there."""

    def __init__(self, path: str) -> None:
        self._descriptor = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)

    async def write(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            if self._descriptor < 0:
                raise BrokenPipeError("the process's standard input is closed")
            try:
                written = os.write(self._descriptor, view)
            except BlockingIOError:
                await _ready(self._descriptor, write=True)
                continue
            view = view[written:]

    def close(self) -> None:
        if self._descriptor >= 0:
            asyncio.get_running_loop().remove_writer(self._descriptor)
            os.close(self._descriptor)
            self._descriptor = -1


async def _ready(descriptor: int, *, write: bool) -> None:
    loop = asyncio.get_running_loop()
    ready: asyncio.Future[None] = loop.create_future()

    def settle() -> None:
        if not ready.done():
            ready.set_result(None)

    (loop.add_writer if write else loop.add_reader)(descriptor, settle)
    try:
        await ready
    finally:
        (loop.remove_writer if write else loop.remove_reader)(descriptor)
