"""A log in a file: one Event a line, the file exchanged for a new one when it is full.

Names and ages are those of upstream's rotation: `audit.log` becomes `audit-2026-01-02T03-04-05.678.log`, in UTC.
Several processes may write one file: each line is one write at the end, and who finds the file exchanged goes on in the
new one.
"""

from __future__ import annotations

import fcntl
import gzip
import logging
import os
import re
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson

from component_base.clock import Clock

log = logging.getLogger(__name__)

JSON = dict[str, Any]
MEGABYTE = 1024 * 1024
_STAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d\.\d{3}")


@dataclass(frozen=True, slots=True)
class Keeping:
    """When a file is full and how many old ones are kept; 0: without limit."""

    max_size: int = 100
    """Megabytes."""
    max_age: int = 366
    """Days."""
    max_backups: int = 100
    compress: bool = False


class RotatedFile:
    def __init__(self, path: Path, keeping: Keeping, clock: Clock) -> None:
        """Raises OSError if it cannot be written."""
        self._path = path
        self._keeping = keeping
        self._clock = clock
        path.parent.mkdir(parents=True, exist_ok=True)
        self._fd, self._inode = self._open()
        self.full: Path | None = None
        """A file just exchanged, which `tidy` should look at."""

    def _open(self) -> tuple[int, int]:
        """What is logged may be anybody's secret: the file is for its owner alone."""
        fd = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        return fd, os.fstat(fd).st_ino

    def write(self, line: bytes) -> None:
        """Raises OSError."""
        limit = self._keeping.max_size * MEGABYTE
        try:
            found = os.stat(self._path)
        except FileNotFoundError:
            found = None
        if found is None or found.st_ino != self._inode:  # moved away by somebody else
            self._reopen()
            found = os.fstat(self._fd)
        if limit and found.st_size and found.st_size + len(line) > limit:
            self._exchange()
        written = os.write(self._fd, line)
        if written != len(line):
            raise OSError(f"{self._path}: only {written} of {len(line)} bytes could be written")

    def _reopen(self) -> None:
        old = self._fd
        self._fd, self._inode = self._open()
        os.close(old)

    def _exchange(self) -> None:
        """Under a lock on the full file: of several processes one moves it away."""
        fcntl.flock(self._fd, fcntl.LOCK_EX)
        try:
            if self._path.stat().st_ino == self._inode:
                self.full = self._backup_name()
                self._path.rename(self.full)
        except FileNotFoundError:
            pass  # another process has moved it and not yet made the new one
        finally:
            fcntl.flock(self._fd, fcntl.LOCK_UN)
        self._reopen()

    def _backup_name(self) -> Path:
        moment = datetime.fromtimestamp(self._clock.now(), UTC)
        while True:
            stamp = moment.strftime("%Y-%m-%dT%H-%M-%S.") + f"{moment.microsecond // 1000:03d}"
            name = self._path.with_name(f"{self._path.stem}-{stamp}{self._path.suffix}")
            if not name.exists():
                return name
            moment += timedelta(milliseconds=1)

    def tidy(self) -> None:
        """Compress what is full and remove what is too old or too much. Takes long: not for the event loop."""
        backups = self._backups()
        keeping = self._keeping
        for index, (stamp, path) in enumerate(backups):
            age = self._clock.now() - stamp
            if (keeping.max_backups and index >= keeping.max_backups) or (
                keeping.max_age and age > keeping.max_age * 86400
            ):
                path.unlink(missing_ok=True)
            elif keeping.compress and path.suffix != ".gz":
                _compress(path)

    def _backups(self) -> list[tuple[float, Path]]:
        """With their times, the newest first."""
        found = []
        stem, suffix = f"{self._path.stem}-", self._path.suffix
        for path in self._path.parent.iterdir():
            name = path.name.removesuffix(".gz")
            stamp = name[len(stem) : len(name) - len(suffix)]
            if name.startswith(stem) and name.endswith(suffix) and _STAMP.fullmatch(stamp):
                moment = datetime.strptime(stamp + "000", "%Y-%m-%dT%H-%M-%S.%f").replace(tzinfo=UTC)
                found.append((moment.timestamp(), path))
        return sorted(found, reverse=True)

    def close(self) -> None:
        os.close(self._fd)


def _compress(path: Path) -> None:
    packed = path.with_name(path.name + ".gz")
    half = packed.with_name(packed.name + ".part")
    fd = os.open(half, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with path.open("rb") as source, open(fd, "wb") as raw, gzip.GzipFile(fileobj=raw, mode="wb") as target:
        shutil.copyfileobj(source, target)
    half.rename(packed)
    path.unlink()


class StandardOutput:
    """`--audit-log-path=-`."""

    full = None

    def write(self, line: bytes) -> None:
        sys.stdout.buffer.write(line)
        sys.stdout.buffer.flush()

    def tidy(self) -> None:
        """There is nothing to tidy."""

    def close(self) -> None:
        """It is not ours to close."""


def as_json(event: JSON) -> bytes:
    return orjson.dumps(event, option=orjson.OPT_APPEND_NEWLINE)


def as_legacy(event: JSON) -> bytes:
    """One line of `name="value"`, upstream's older form."""
    user, acting = event["user"], event.get("impersonatedUser")
    status = event.get("responseStatus")
    fields = {
        "id": event["auditID"],
        "stage": event["stage"],
        "ip": (event.get("sourceIPs") or ["<unknown>"])[0],
        "method": event["verb"],
        "user": user.get("username") or "<none>",
        "groups": _quoted(user.get("groups")) or "<none>",
        "as": "<self>" if acting is None else acting["username"],
        "asgroups": "<lookup>" if acting is None else _quoted(acting.get("groups")) or "<lookup>",
        "user-agent": event.get("userAgent") or "",
        "namespace": (event.get("objectRef") or {}).get("namespace") or "<none>",
        "uri": event["requestURI"],
        "response": "<deferred>" if status is None else str(status.get("code", 0)),
    }
    shown = " ".join(f"{name}={_quote(value)}" for name, value in fields.items())
    return f"{event['requestReceivedTimestamp']} AUDIT: {shown}\n".encode()


def _quoted(texts: list[str] | None) -> str:
    return ",".join(map(_quote, texts or ()))


def _quote(text: str) -> str:
    return orjson.dumps(text).decode()


FORMATS: dict[str, Callable[[JSON], bytes]] = {"json": as_json, "legacy": as_legacy}
