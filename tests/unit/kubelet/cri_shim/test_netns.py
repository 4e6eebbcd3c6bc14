"""A network namespace pinned to a file, and what is left of it when somebody unmounts it."""

import os
from pathlib import Path

import pytest

from kubelet.cri_shim import linux_syscalls


def test_a_plain_file_is_no_namespace(tmp_path: Path) -> None:
    left = tmp_path / "netns"
    left.touch()
    assert not linux_syscalls.is_pinned(str(left))
    linux_syscalls.remove_netns(str(left))
    assert not left.exists()
    linux_syscalls.remove_netns(str(left))


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="namespaces need root")
async def test_a_pinned_namespace_is_told_from_what_an_unmount_leaves(tmp_path: Path) -> None:
    path = str(tmp_path / "netns")
    await linux_syscalls.create_netns(path)
    assert linux_syscalls.is_pinned(path)
    linux_syscalls.unmount(path)
    assert not linux_syscalls.is_pinned(path)
    linux_syscalls.remove_netns(path)
    assert not linux_syscalls.is_pinned(path)
