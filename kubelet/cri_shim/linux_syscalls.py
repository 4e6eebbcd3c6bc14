"""The few Linux calls Python does not wrap: mount, umount, unshare and setns, and pinned network namespaces.

A namespace change is per thread, so each one happens in a thread made for it, which ends afterwards: no pooled thread
ever wakes up in a pod's namespace.
"""

from __future__ import annotations

import asyncio
import ctypes
import fcntl
import os
import socket
import struct
import threading
from collections.abc import Callable
from typing import TypeVar

MS_REMOUNT = 32
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_BIND, MS_REC, MS_PRIVATE = 1, 2, 4, 8, 4096, 16384, 1 << 18
MNT_DETACH = 2
CLONE_NEWNET = 0x40000000
SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP = 0x8913, 0x8914, 1

_libc = ctypes.CDLL(None, use_errno=True)
T = TypeVar("T")


def _check(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def mount(source: str, target: str, kind: str, flags: int, data: str = "") -> None:
    result = _libc.mount(source.encode(), target.encode(), kind.encode(), ctypes.c_ulong(flags), data.encode() or None)
    _check(result, f"mount {source} on {target}")


def unmount(target: str) -> None:
    """Detach; a path that is not a mount point, or is gone, is fine."""
    if _libc.umount2(target.encode(), MNT_DETACH) != 0:
        number = ctypes.get_errno()
        if number not in (22, 2):  # EINVAL: not a mount point, ENOENT: not there
            raise OSError(number, f"umount {target}: {os.strerror(number)}")


async def in_fresh_thread(work: Callable[[], T]) -> T:
    """Run `work` in a thread that is used for nothing else, because it leaves its namespaces changed."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[T] = loop.create_future()

    def settle(action: Callable[[], None]) -> None:
        if not done.done():
            action()

    def run() -> None:
        try:
            result = work()
        except OSError as error:
            failure = error
            loop.call_soon_threadsafe(settle, lambda: done.set_exception(failure))
        else:
            loop.call_soon_threadsafe(settle, lambda: done.set_result(result))

    threading.Thread(target=run, name="namespace", daemon=True).start()
    return await done


async def create_netns(path: str) -> None:
    """A new network namespace pinned at `path`, loopback up."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    os.close(os.open(path, os.O_RDONLY | os.O_CREAT, 0o444))

    def work() -> None:
        _check(_libc.unshare(CLONE_NEWNET), "unshare the network namespace")
        mount(f"/proc/self/task/{threading.get_native_id()}/ns/net", path, "none", MS_BIND)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
            name = b"lo".ljust(16, b"\0")
            request = fcntl.ioctl(control, SIOCGIFFLAGS, name + b"\0" * 24)
            (flags,) = struct.unpack_from("H", request, 16)
            fcntl.ioctl(control, SIOCSIFFLAGS, name + struct.pack("H", flags | IFF_UP) + b"\0" * 22)

    try:
        await in_fresh_thread(work)
    except OSError:
        os.unlink(path)
        raise


def is_pinned(path: str) -> bool:
    """Whether a namespace is mounted at `path`; a plain file is what an unmount has left of one."""
    try:
        return os.stat(path).st_dev == os.stat("/proc/self/ns/net").st_dev
    except FileNotFoundError:
        return False


def remove_netns(path: str) -> None:
    if is_pinned(path):
        unmount(path)
    if os.path.exists(path):
        os.unlink(path)


async def socket_in_netns(path: str, family: int) -> socket.socket:
    """A TCP socket that lives in the namespace pinned at `path`."""

    def work() -> socket.socket:
        namespace = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            _check(_libc.setns(namespace, CLONE_NEWNET), f"enter the network namespace {path}")
        finally:
            os.close(namespace)
        return socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)

    return await in_fresh_thread(work)


def mount_shm(path: str, size: int = 64 << 20) -> None:
    os.makedirs(path, exist_ok=True)
    mount("shm", path, "tmpfs", MS_NOEXEC | MS_NOSUID | MS_NODEV, f"mode=1777,size={size}")
