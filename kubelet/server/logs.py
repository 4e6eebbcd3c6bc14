"""A container's log as `kubectl logs` wants it: the CRI log files, cut, filtered, stamped, followed.

Lines of the files are `time stream tag text`; a tag P marks a part of a line whose end is still to come.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path

from component_base.clock import Clock
from kubelet import times

CHUNK = 1 << 16
FOLLOW_POLL = 0.1
"""Seconds between looks at a file that somebody follows at the moment."""


@dataclass(frozen=True, slots=True)
class LogOptions:
    follow: bool = False
    tail: int | None = None
    since: float | None = None
    """Epoch seconds; lines before are left out."""
    timestamps: bool = False
    limit: int | None = None
    stream: str = "All"


def tail_offset(path: Path, lines: int) -> int:
    """Where the last `lines` lines begin, found from the end of the file."""
    with path.open("rb") as file:
        end = file.seek(0, 2)
        position, found = end, 0
        while position > 0:
            size = min(CHUNK, position)
            position -= size
            file.seek(position)
            block = file.read(size)
            if position + size == end and block.endswith(b"\n"):
                block = block[:-1]
            cut = len(block)
            while (cut := block.rfind(b"\n", 0, cut)) >= 0:
                found += 1
                if found == lines:
                    return position + cut + 1
    return end if lines == 0 else 0


class LineFilter:
    """From CRI lines to what the client gets; keeps count for limitBytes."""

    def __init__(self, options: LogOptions) -> None:
        self._options = options
        self._left = options.limit
        self._fresh = True

    @property
    def exhausted(self) -> bool:
        return self._left is not None and self._left <= 0

    def convert(self, line: bytes) -> bytes:
        parts = line.rstrip(b"\n").split(b" ", 3)
        if len(parts) < 4:
            return b""
        stamp, stream, tag, text = parts
        options = self._options
        if options.stream != "All" and stream.decode() != options.stream.lower():
            return b""
        if options.since is not None and times.parse(stamp.decode()) < options.since:
            return b""
        prefix = stamp + b" " if options.timestamps and self._fresh else b""
        partial = tag.split(b":")[0] == b"P"
        self._fresh = not partial
        out = prefix + text + (b"" if partial else b"\n")
        if self._left is not None:
            out = out[: self._left]
            self._left -= len(out)
        return out


async def read_log(path: Path, options: LogOptions, clock: Clock, running: Callable[[], bool]) -> AsyncIterator[bytes]:
    """The log's bytes, in pieces. With `follow` until the container has ended and everything was told."""
    chosen = LineFilter(options)
    offset = 0
    if options.tail is not None:
        offset = await asyncio.to_thread(tail_offset, path, options.tail)
    inode = path.stat().st_ino  # noqa: ASYNC240 - one call
    rest = b""
    while True:
        alive = running()
        data = await asyncio.to_thread(_read, path, offset)
        offset += len(data)
        lines = (rest + data).split(b"\n")
        rest = lines.pop()
        out = b"".join(chosen.convert(line) for line in lines)
        if out:
            yield out
        if chosen.exhausted:
            return
        if data:
            continue
        if not options.follow or not alive:
            if rest and (out := chosen.convert(rest)):
                yield out
            return
        await clock.sleep(FOLLOW_POLL)
        fresh = _inode(path)
        if fresh is not None and fresh != inode:
            # Rotated: the old file was read to its end, the new one begins.
            inode, offset, rest = fresh, 0, b""


def _read(path: Path, offset: int) -> bytes:
    try:
        with path.open("rb") as file:
            file.seek(offset)
            return file.read(CHUNK * 4)
    except OSError:
        return b""


def _inode(path: Path) -> int | None:
    try:
        return path.stat().st_ino
    except OSError:
        return None
