"""This process's terminal while a remote process uses it: raw keys, its size, everything put back at the end."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import sys
import termios
import threading
import tty
from collections.abc import AsyncIterator, Callable, Iterator

_CHUNK = 32 * 1024


@contextlib.contextmanager
def raw(wanted: bool) -> Iterator[None]:
    """Keys go to the other side one by one, ^C included. Nothing changes where standard input is no terminal."""
    if not wanted or not sys.stdin.isatty():
        yield
        return
    descriptor = sys.stdin.fileno()
    before = termios.tcgetattr(descriptor)
    tty.setraw(descriptor, termios.TCSADRAIN)  # keys that were typed ahead count
    try:
        yield
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)


def size() -> tuple[int, int]:
    found = shutil.get_terminal_size()
    return found.columns, found.lines


@contextlib.contextmanager
def on_resize(call: Callable[[], None]) -> Iterator[None]:
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGWINCH, call)
    try:
        yield
    finally:
        loop.remove_signal_handler(signal.SIGWINCH)


async def keys() -> AsyncIterator[bytes]:
    """Standard input as it comes, until its end. A thread reads, for input may be a file, a pipe or a terminal."""
    loop = asyncio.get_running_loop()
    queue: asyncio.Queue[bytes] = asyncio.Queue(8)
    descriptor = sys.stdin.fileno()

    def read() -> None:
        while True:
            try:
                data = os.read(descriptor, _CHUNK)
            except OSError:
                data = b""
            with contextlib.suppress(RuntimeError):  # the loop has ended, and with it the wish for input
                asyncio.run_coroutine_threadsafe(queue.put(data), loop).result()
            if not data:
                return

    threading.Thread(target=read, daemon=True).start()
    while data := await queue.get():
        yield data
