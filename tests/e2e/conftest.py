"""One cluster for all tests of this folder. A failing test shows the end of every service's log."""

from __future__ import annotations

import itertools
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.cluster import Cluster, Kubectl, kubectls, need

_numbers = itertools.count(1)
#: The compose lab takes minutes and the docker engine: `make test-lab` asks for it.
collect_ignore = [] if os.environ.get("SKIFF_TEST_LAB") else ["test_lab.py"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "tests/e2e" in str(item.path):
            item.add_marker(pytest.mark.root)
            if item.get_closest_marker("timeout") is None:
                item.add_marker(pytest.mark.timeout(300))


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    need(os.geteuid() == 0, "whole clusters need root")
    for tool in ("containerd", "runc", "nft", "ip", "nsenter"):
        need(shutil.which(tool) is not None, f"{tool} is missing; `make setup` installs it")
    # A short path: unix sockets lie below it.
    folder = Path(tempfile.mkdtemp(prefix="skiff-", dir="/var/lib"))
    made = Cluster(folder / "s", os.environ.get("SKIFF_E2E_NAMESPACE", "skiff-e2e"))
    try:
        made.make_network()
        made.up()
        yield made
    finally:
        made.skiff("down", "--purge", check=False)
        made.remove_network()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(params=kubectls() or [Path("kubectl")], ids=lambda path: path.name)
def kubectl(cluster: Cluster, request: pytest.FixtureRequest) -> Kubectl:
    """Each test runs with the oldest and the newest kubectl of the machine."""
    need(bool(kubectls()), "there is no kubectl on this machine")
    return Kubectl(cluster, request.param)


@pytest.fixture
def newest(cluster: Cluster) -> Kubectl:
    need(bool(kubectls()), "there is no kubectl on this machine")
    return Kubectl(cluster, kubectls()[-1])


@pytest.fixture
def namespace(newest: Kubectl, request: pytest.FixtureRequest) -> Iterator[str]:
    word = re.sub(r"[^a-z0-9]+", "-", request.node.name.lower()).strip("-")[:30].strip("-")
    name = f"{word}-{next(_numbers)}"
    newest("create", "namespace", name)
    yield name
    newest("delete", "namespace", name, "--wait=false")


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    outcome = yield
    report = outcome.get_result()  # type: ignore[attr-defined]
    cluster = getattr(item, "funcargs", {}).get("cluster")
    if report.failed and isinstance(cluster, Cluster):
        report.sections.append(("services", cluster.logs()))
