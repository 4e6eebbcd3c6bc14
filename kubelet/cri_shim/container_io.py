"""A running container's standard streams: FIFOs in, log file and attached clients out.

The log file is written here, line by line in CRI's format. Attached clients get raw bytes through bounded queues; one
that stays too far behind is dropped, because the container's output must not wait for a person's terminal.
"""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
from collections.abc import Callable

from component_base.clock import Clock
from kubelet.cri_shim.fifos import READ_SIZE, FifoWriter, make_fifo, open_reader
from kubelet.cri_shim.log_format import LogFramer

logger = logging.getLogger(__name__)

BACKLOG = 128
EARLY_BYTES = 64 << 10


class Subscriber:
    """One attached client's queue; None marks the end."""

    def __init__(self) -> None:
        self.queue: asyncio.Queue[tuple[str, bytes] | None] = asyncio.Queue(BACKLOG)
        self.dropped = False

    def put(self, item: tuple[str, bytes] | None) -> None:
        if self.queue.full():
            self.dropped = True
            self.queue.get_nowait()
            item = None
        self.queue.put_nowait(item)


class ContainerIO:
    """`greet`: the first client gets what was said before it came, up to EARLY_BYTES. Containers that live for one
    client's input (stdinOnce, `kubectl run -i`) start before that client can attach, and some end at once.
    """

    def __init__(
        self, directory: str, clock: Clock, *, stdin: bool, tty: bool, log_path: str, greet: bool = False
    ) -> None:
        self._directory = directory
        self._clock = clock
        self._log_path = log_path
        self._log = -1
        self._tty = tty
        self.stdin_path = os.path.join(directory, "stdin") if stdin else ""
        self.stdout_path = os.path.join(directory, "stdout")
        self.stderr_path = "" if tty else os.path.join(directory, "stderr")
        self._readers: dict[int, tuple[str, LogFramer]] = {}
        self._subscribers: set[Subscriber] = set()
        self._early: list[tuple[str, bytes]] | None = [] if greet else None
        self._stdin: FifoWriter | None = None
        self.drained = asyncio.Event()

    def prepare(self) -> None:
        """Make the FIFOs, unless an earlier life of ours did, and open the log."""
        os.makedirs(self._directory, mode=0o700, exist_ok=True)
        for path in (self.stdin_path, self.stdout_path, self.stderr_path):
            if path:
                make_fifo(path)
        self._open_log()

    def open(self) -> None:
        """Begin to read."""
        loop = asyncio.get_running_loop()
        for name, path in (("stdout", self.stdout_path), ("stderr", self.stderr_path)):
            if path:
                descriptor = open_reader(path)
                self._readers[descriptor] = (name, LogFramer(name))
                loop.add_reader(descriptor, self._readable, descriptor)

    def reopen_log(self) -> None:
        self._open_log()

    def subscribe(self) -> Subscriber:
        subscriber = Subscriber()
        for item in self._early or ():
            subscriber.put(item)
        self._early = None
        if self._readers:
            self._subscribers.add(subscriber)
        else:
            subscriber.put(None)
        return subscriber

    def unsubscribe(self, subscriber: Subscriber) -> None:
        self._subscribers.discard(subscriber)

    async def write_stdin(self, data: bytes) -> None:
        if not self.stdin_path:
            raise BrokenPipeError("the container has no standard input")
        if self._stdin is None:
            self._stdin = FifoWriter(self.stdin_path)
        await self._stdin.write(data)

    def close_stdin(self) -> None:
        if self._stdin is not None:
            self._stdin.close()
            self._stdin = None

    async def wait_drained(self, timeout: float) -> None:
        """Until the last byte is in the log; a process left behind in the pod may hold the pipe open longer."""
        try:
            async with asyncio.timeout(timeout):
                await self.drained.wait()
        except TimeoutError:
            logger.debug("output of %s still open after the container's end", self._directory)

    def close(self, *, remove: bool = False) -> None:
        for descriptor in list(self._readers):
            self._finish(descriptor)
        self.close_stdin()
        if self._log >= 0:
            os.close(self._log)
            self._log = -1
        if remove:
            shutil.rmtree(self._directory, ignore_errors=True)

    def _open_log(self) -> None:
        if not self._log_path:
            return
        previous = self._log
        os.makedirs(os.path.dirname(self._log_path), exist_ok=True)
        self._log = os.open(self._log_path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o640)
        if previous >= 0:
            os.close(previous)

    def _readable(self, descriptor: int) -> None:
        try:
            data = os.read(descriptor, READ_SIZE)
        except BlockingIOError:
            return
        if not data:
            self._finish(descriptor)
            return
        name, framer = self._readers[descriptor]
        self._write(framer.feed, data)
        if self._early is not None:
            self._remember(name, data)
        for subscriber in list(self._subscribers):
            subscriber.put((name, data))
            if subscriber.dropped:
                self._subscribers.discard(subscriber)

    def _remember(self, name: str, data: bytes) -> None:
        """Few and bounded pieces, so that they fit into a subscriber's queue."""
        early = self._early or []
        if early and early[-1][0] == name:
            early[-1] = (name, (early[-1][1] + data)[-EARLY_BYTES:])
        else:
            early.append((name, data[-EARLY_BYTES:]))
        while len(early) > BACKLOG // 2 or sum(len(piece) for _, piece in early) > EARLY_BYTES:
            early.pop(0)
        self._early = early

    def _write(self, frame: Callable[[bytes, int], bytes], data: bytes) -> None:
        self._append(frame(data, int(self._clock.now() * 1e9)))

    def _append(self, lines: bytes) -> None:
        if self._log < 0 or not lines:
            return
        try:
            view = memoryview(lines)
            while view:
                view = view[os.write(self._log, view) :]
        except OSError as error:
            # A full disk loses lines; it must not stop the container.
            logger.warning("log %s cannot be written: %s", self._log_path, error)

    def _finish(self, descriptor: int) -> None:
        asyncio.get_running_loop().remove_reader(descriptor)
        _, framer = self._readers.pop(descriptor)
        os.close(descriptor)
        self._append(framer.end(int(self._clock.now() * 1e9)))
        if not self._readers:
            for subscriber in self._subscribers:
                subscriber.put(None)
            self._subscribers.clear()
            self.drained.set()
