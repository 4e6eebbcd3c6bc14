"""`--workers N`: several processes serve one port. This one starts them, starts them again, and stops them.

The kernel spreads connections over the workers (SO_REUSEPORT). Workers know nothing of each other: each has a watch
cache of its own, and the store keeps them consistent just as it does apiservers on different machines.
"""

from __future__ import annotations

import ctypes
import gc
import logging
import os
import signal
import socket
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from component_base.clock import Clock

log = logging.getLogger(__name__)
_SIGNALS = frozenset((signal.SIGTERM, signal.SIGINT, signal.SIGCHLD))
_PR_SET_PDEATHSIG = 1
#: A worker that ends sooner is started again only after this long.
PAUSE_SECONDS = 1.0
#: One that refuses to work within this long from the start has been told something impossible: all end.
TRIAL_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Worker:
    """One of `count`; `folder` holds the sockets by which workers ask each other for metrics."""

    index: int = 0
    count: int = 1
    folder: Path | None = None

    @property
    def is_first(self) -> bool:
        """It does what must be done once for an address: being listed among the endpoints, compaction."""
        return self.index == 0

    @property
    def is_alone(self) -> bool:
        return self.count == 1


def reserve(address: str, port: int) -> socket.socket:
    """Keeps a port for the workers, and finds one when `port` is 0; nobody listens on this socket. Raises OSError."""
    holder = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
    try:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        holder.bind((address, port))
    except OSError as error:
        holder.close()
        raise OSError(error.errno, f"cannot listen on {address}:{port}: {error.strerror}") from error
    return holder


class Supervisor:
    """`serve` is what a worker does, in its own process; its result is the exit code."""

    def __init__(self, count: int, serve: Callable[[Worker], int], clock: Clock) -> None:
        self._count = count
        self._serve = serve
        self._clock = clock
        self._workers: dict[int, tuple[int, float]] = {}
        """By process id: index, and when it was started."""
        self._due: dict[int, float] = {}
        """When to start an index again."""
        self._folder = Path()

    def run(self) -> int:
        """Until SIGTERM or SIGINT, which every worker is told of; or until a worker says that it cannot work."""
        signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        gc.collect()
        gc.freeze()  # so that collections in the workers do not copy what they share with this process
        began = self._clock.monotonic()
        with tempfile.TemporaryDirectory(prefix="skiff-apiserver-") as folder:
            self._folder = Path(folder)
            for index in range(self._count):
                self._start(index)
            while True:
                received = signal.sigtimedwait(_SIGNALS, self._patience())
                if received is not None and received.si_signo != signal.SIGCHLD:
                    return self._stop()
                code = self._reap(began)
                if code:
                    self._stop()
                    return code

    def _patience(self) -> float:
        return max(0.0, min(self._due.values()) - self._clock.monotonic()) if self._due else 3600.0

    def _start(self, index: int) -> None:
        parent = os.getpid()
        sys.stdout.flush()
        sys.stderr.flush()
        pid = os.fork()
        if pid == 0:
            os._exit(self._be_worker(index, parent))
        self._workers[pid] = (index, self._clock.monotonic())

    def _be_worker(self, index: int, parent: int) -> int:
        """Nothing of the supervisor's may be left standing: the caller leaves without unwinding its frames."""
        code = 1
        try:
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
            if os.getppid() == parent:
                code = self._serve(Worker(index, self._count, self._folder))
        except SystemExit as exit:
            code = exit.code if isinstance(exit.code, int) else 1
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
        return code

    def _reap(self, began: float) -> int:
        """Take note of workers that ended, and start those that are due; the exit code if there is no use in that."""
        now = self._clock.monotonic()
        for pid in list(self._workers):
            ended, status = os.waitpid(pid, os.WNOHANG)
            if not ended:
                continue
            index, started = self._workers.pop(pid)
            code = os.waitstatus_to_exitcode(status)
            if code > 0 and now - began < TRIAL_SECONDS:
                return code
            log.error("worker %d (process %d) ended with %d; it is started again", index, pid, code)
            self._due[index] = now if now - started >= PAUSE_SECONDS else now + PAUSE_SECONDS
        for index in [index for index, due in self._due.items() if due <= now]:
            del self._due[index]
            self._start(index)
        return 0

    def _stop(self) -> int:
        for pid in self._workers:
            os.kill(pid, signal.SIGTERM)
        codes = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in self._workers]
        self._workers.clear()
        return max((abs(code) for code in codes), default=0)
