"""Named places where tests make a process fail: a no-op unless SKIFF_FAILPOINTS names the place.

`SKIFF_FAILPOINTS="wal_before_sync=crash;snapshot_after_write=error"` ends the process as a power cut would (no
clean-up, code 137), or raises OSError(EIO), when execution arrives there.
"""

from __future__ import annotations

import errno
import os


def _parse(text: str) -> dict[str, str]:
    return dict(pair.split("=", 1) for pair in text.split(";") if "=" in pair)


_active = _parse(os.environ.get("SKIFF_FAILPOINTS", ""))


def failpoint(name: str) -> None:
    action = _active.get(name)
    if action is None:
        return
    if action == "crash":
        os._exit(137)
    raise OSError(errno.EIO, f"failpoint {name}")
