"""One store and one apiserver for all tests here; each test works in a namespace of its own."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.integration.cluster_parts import ApiServer, Store, start_apiserver, start_store

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def shared_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with start_store(tmp_path_factory.mktemp("store")) as running:
        yield running


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory, shared_store: Store) -> Iterator[ApiServer]:
    folder: Path = tmp_path_factory.mktemp("apiserver")
    with start_apiserver(folder, shared_store.url) as running:
        yield running


@pytest.fixture
def api(server: ApiServer) -> Iterator[httpx.Client]:
    with server.http() as client:
        yield client


@pytest.fixture
def namespace(api: httpx.Client, request: pytest.FixtureRequest) -> str:
    """With a ServiceAccount `default`, which controllers would make in a whole cluster."""
    word = re.sub(r"[^a-z0-9]+", "-", request.node.name.lower()).strip("-")[:40]
    name = f"{word}-{next(_numbers)}"
    assert api.post("/api/v1/namespaces", json={"metadata": {"name": name}}).status_code == 201
    account = {"metadata": {"name": "default"}}
    assert api.post(f"/api/v1/namespaces/{name}/serviceaccounts", json=account).status_code == 201
    return name
