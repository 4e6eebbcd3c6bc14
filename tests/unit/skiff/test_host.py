"""What is found out about the host before anything is touched."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from skiff.cluster.host import has_address
from skiff.cluster.status import is_running


@pytest.mark.parametrize(
    ("address", "is_here"),
    [("127.0.0.1", True), ("192.0.2.1", False), ("2001:db8::1", False), ("nonsense.invalid", False)],
)
def test_a_node_can_only_have_an_address_of_its_host(address: str, is_here: bool) -> None:
    assert has_address(address) is is_here


def test_a_process_of_ours_is_known_by_its_arguments_whichever_program_runs_it() -> None:
    me = os.getpid()
    argv = Path("/proc/self/cmdline").read_text().rstrip("\0").split("\0")
    assert is_running(me, argv)
    assert is_running(me, ["/other/python", *argv[1:]], any_program=True)
    assert not is_running(me, ["/other/python", *argv[1:]])
    assert not is_running(me, [*argv, "more"], any_program=True)
