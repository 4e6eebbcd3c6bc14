"""The WebSocket protocol of exec and attach, `v5.channel.k8s.io`, as frames; no connection in sight.

Each message begins with a byte that names its channel. v5 adds the close message, which ends standard input alone.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

PROTOCOLS = ("v5.channel.k8s.io", "v4.channel.k8s.io")
CLOSES_INPUT = "v5.channel.k8s.io"
STDIN, STDOUT, STDERR, ERROR, RESIZE, CLOSE = 0, 1, 2, 3, 4, 255


def frame(channel: int, data: bytes) -> bytes:
    return bytes((channel,)) + data


def resize(columns: int, rows: int) -> bytes:
    return frame(RESIZE, json.dumps({"Width": columns, "Height": rows}).encode())


def end_of_input() -> bytes:
    """Valid in v5 only; older servers take the end of the connection for the end of input."""
    return bytes((CLOSE, STDIN))


def parse(message: bytes | str) -> tuple[int, bytes]:
    """Channel and data. Raises ValueError for a message without a channel."""
    data = message.encode() if isinstance(message, str) else message
    if not data:
        raise ValueError("the server sent a message without a channel")
    return data[0], data[1:]


def exit_code(status: Mapping[str, Any]) -> tuple[int, str]:
    """The code of the process, and a sentence where there was none because it never ran."""
    if status.get("status") == "Success":
        return 0, ""
    if status.get("reason") == "NonZeroExitCode":
        for cause in (status.get("details") or {}).get("causes") or ():
            if cause.get("reason") == "ExitCode":
                code = str(cause.get("message") or "")
                if code.isdigit():
                    return int(code), f"command terminated with exit code {code}"
    return 1, str(status.get("message") or "the command failed and the server did not say why")
