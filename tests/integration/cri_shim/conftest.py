"""One node for all tests of a runtime: containerd with our shim, and containerd with its own CRI plugin."""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.integration.cri_shim.node import Node, started_node


def able() -> bool:
    return os.geteuid() == 0 and all(shutil.which(name) for name in ("containerd", "runc", "busybox"))


@pytest_asyncio.fixture(scope="session", loop_scope="session", params=["shim", "containerd"])
async def node(request: pytest.FixtureRequest) -> AsyncIterator[Node]:
    """Every test that takes this runs on both runtimes."""
    if not able():
        pytest.skip("needs root, containerd, runc and busybox")
    own_plugin = request.param == "containerd"
    async with started_node(own_plugin=own_plugin, subnet=78 if own_plugin else 77) as started:
        yield started


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def shim() -> AsyncIterator[Node]:
    """For what only our shim has."""
    if not able():
        pytest.skip("needs root, containerd, runc and busybox")
    async with started_node(subnet=79) as started:
        yield started
