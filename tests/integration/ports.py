"""Ports of the loopback for servers that a test starts, and may start again, as processes.

To ask the kernel for a free port and to close it again promises nothing: until the server listens, a second after, the
kernel may give the same port to the next who asks, or to any connection that goes out. These ports lie below the range
that the kernel takes from (`ip_local_port_range`), so only another test can want them, and whoever gets one here holds
a lock on it, a socket name in the abstract namespace, until his process ends.
"""

from __future__ import annotations

import os
import socket

#: Below the kernel's own range (from 32768) and the NodePorts (from 30000), above what is usually installed.
FIRST, LAST = 20000, 29999

_locks: list[socket.socket] = []
_next = FIRST + os.getpid() * 61 % (LAST - FIRST)


def free_port() -> int:
    """Never the same twice, also not in two test runs at once."""
    global _next
    for _ in range(LAST - FIRST):
        port, _next = _next, _next + 1 if _next < LAST else FIRST
        if _locked(port) and _unused(port):
            return port
    raise AssertionError(f"every port from {FIRST} to {LAST} is in use")


def free_ports(count: int) -> list[int]:
    return [free_port() for _ in range(count)]


def _locked(port: int) -> bool:
    lock = socket.socket(socket.AF_UNIX)
    try:
        lock.bind(f"\0skiff-test-port-{port}")
    except OSError:
        lock.close()
        return False
    _locks.append(lock)
    return True


def _unused(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("", port))
        except OSError:
            return False
    return True
