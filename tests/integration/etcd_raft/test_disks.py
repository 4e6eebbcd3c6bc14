"""Disks that fail for real: the kernel's own EIO, under a file system that was healthy a moment before.

The disk is a loop device over memory that can be sealed: from then on the kernel refuses every write to it, as a dying
disk does. What it holds can still be read, and is copied to a new disk.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import subprocess
from pathlib import Path

import pytest

from tests.integration.etcd_raft.processes import MemberProcess, Writers, contents, until

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(os.geteuid() != 0, reason="mounts a file system"),
    pytest.mark.timeout(300),
]

DISK_BYTES = 96 << 20
F_ADD_SEALS, F_SEAL_WRITE = 1033, 8


class LoopDisk:
    """An ext4 file system on a loop device, mounted at `folder`."""

    def __init__(self, folder: Path, content: LoopDisk | None = None) -> None:
        self.folder = folder
        self._memory = os.memfd_create("disk", os.MFD_ALLOW_SEALING)
        os.truncate(self._memory, DISK_BYTES)
        path = f"/proc/{os.getpid()}/fd/{self._memory}"
        if content is None:
            subprocess.run(["mkfs.ext4", "-q", path], check=True)
        else:
            self._copy(content._memory)
            repaired = subprocess.run(["e2fsck", "-fy", path], capture_output=True, check=False)
            assert repaired.returncode in (0, 1), repaired.stdout
        found = subprocess.run(["losetup", "--find", "--show", path], capture_output=True, text=True, check=False)
        if found.returncode:
            os.close(self._memory)
            pytest.skip(f"this host has no loop devices: {found.stderr.strip()}")
        self._device = found.stdout.strip()
        subprocess.run(["mount", self._device, str(folder)], check=True)

    def _copy(self, source: int) -> None:
        """Blocks of zeros are left out."""
        for start in range(0, DISK_BYTES, 1 << 20):
            block = os.pread(source, 1 << 20, start)
            if block.count(0) < len(block):
                os.pwrite(self._memory, block, start)

    def fail(self) -> None:
        """No write reaches it from now on."""
        fcntl.fcntl(self._memory, F_ADD_SEALS, F_SEAL_WRITE)

    def replaced(self) -> LoopDisk:
        """A new disk in its place, with all that had reached it."""
        self._unmount()
        new = LoopDisk(self.folder, content=self)
        os.close(self._memory)
        return new

    def _unmount(self) -> None:
        subprocess.run(["umount", str(self.folder)], check=True)
        subprocess.run(["losetup", "--detach", self._device], check=True)

    def close(self) -> None:
        self._unmount()
        os.close(self._memory)


async def test_a_disk_that_answers_eio_ends_the_member_and_loses_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "disk"
    folder.mkdir()
    disk = LoopDisk(folder)
    member = MemberProcess.make("one", tmp_path, None, f"--data-dir={folder / 'data'}")
    try:
        member.start()
        await member.ready()
        writers, stop = Writers(member), asyncio.Event()
        writing = asyncio.ensure_future(writers.write(4, stop))
        await until(lambda: len(writers.acknowledged) > 200, "writes are acknowledged")
        disk.fail()
        code = await asyncio.to_thread(member.ended)
        stop.set()
        await writing
        assert code == 1
        assert "cannot write the log, and what reached the disk is unknown now: Input/output error" in member.log
        disk = disk.replaced()
        member.start()
        await member.ready()
        found = await contents(member)
        assert {key: found.get(key) for key in writers.acknowledged} == writers.acknowledged
    finally:
        member.end()
        disk.close()
