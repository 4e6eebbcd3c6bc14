"""The apiserver on three members of our store: one is lost, and no object and no event with it."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import orjson
import pytest

from tests.integration.apiserver.test_verbs import config_map
from tests.integration.cluster_parts import ApiServer, start_apiserver
from tests.integration.etcd_raft.processes import MemberProcess

PATH = "/api/v1/namespaces/default/configmaps"
BEFORE, AFTER = 60, 60
"""Objects that are written before a member is killed, and from then on."""
PATIENCE = 60.0


@pytest.fixture
def members(tmp_path: Path) -> Iterator[list[MemberProcess]]:
    made = [MemberProcess.make(name, tmp_path) for name in ("a", "b", "c")]
    cluster = ",".join(f"{member.name}={member.peer_url}" for member in made)
    with ExitStack() as stack:
        for member in made:
            stack.callback(member.end)
            member.start(cluster)
        for member in made:
            asyncio.run(member.ready())
        yield made


def leader_of(members: list[MemberProcess]) -> MemberProcess:
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        for member in members:
            if "etcd_server_is_leader 1" in member.metrics():
                return member
        time.sleep(0.05)
    raise AssertionError("no member leads")


class Watching(threading.Thread):
    """Lists once, then watches; when a watch ends it goes on from the last revision, as informers do."""

    def __init__(self, server: ApiServer) -> None:
        super().__init__(daemon=True)
        self._server = server
        self.seen: list[str] = []
        self.begun, self.enough = threading.Event(), threading.Event()

    def run(self) -> None:
        with self._server.http() as client:
            version = client.get(PATH).json()["metadata"]["resourceVersion"]
            self.begun.set()
            while not self.enough.is_set():
                query = {"watch": "1", "resourceVersion": version, "timeoutSeconds": "3"}
                try:
                    with client.stream("GET", PATH, params=query) as answer:
                        for line in answer.iter_lines():
                            event = orjson.loads(line)
                            meta = event["object"]["metadata"]
                            version = meta["resourceVersion"]
                            self.seen.append(meta["name"])
                except httpx.HTTPError:
                    time.sleep(0.05)


def write(client: httpx.Client, name: str) -> None:
    """Again until it is acknowledged; AlreadyExists after a failure means that the first try went through."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        try:
            if client.post(PATH, json=config_map(name)).status_code in (201, 409):
                return
        except httpx.HTTPError:
            pass
        time.sleep(0.02)
    raise AssertionError(f"{name} could not be written within {PATIENCE} s")


def test_a_leader_is_killed_and_nothing_is_lost(tmp_path: Path, members: list[MemberProcess]) -> None:
    urls = ",".join(member.client_url for member in members)
    with start_apiserver(tmp_path / "api", urls) as server, server.http() as client:
        watching = Watching(server)
        watching.start()
        assert watching.begun.wait(PATIENCE)
        names = [f"n-{number}" for number in range(BEFORE + AFTER)]
        for name in names[:BEFORE]:
            write(client, name)
        lost = leader_of(members)
        lost.kill()
        for name in names[BEFORE:]:
            write(client, name)
        found = {item["metadata"]["name"] for item in client.get(PATH).json()["items"]}
        assert set(names) <= found
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end and not set(names) <= set(watching.seen):
            time.sleep(0.05)
        watching.enough.set()
        assert [name for name in watching.seen if name in set(names)] == names, "each once, in the order of writing"

        left = next(member for member in members if member is not lost)
        raw = left.etcdctl("get", "--prefix", "/registry/", "--print-value-only")
        values = [json.loads(line) for line in raw.splitlines() if line.startswith("{")]
        stored = {value["metadata"]["name"] for value in values if value["kind"] == "ConfigMap"}
        assert set(names) <= stored
        keys = left.etcdctl("get", "--prefix", "/registry/", "--keys-only").split()
        assert len(values) == len(keys), "whatever is stored can be read as JSON"
