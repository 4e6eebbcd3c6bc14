"""Stores and apiservers that die, return, and work side by side."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import orjson
import pytest

from tests.integration.apiserver.test_verbs import config_map
from tests.integration.cluster_parts import ApiServer, Store, start_apiserver, start_store

PATH = "/api/v1/namespaces/default/configmaps"
MERGE = {"content-type": "application/merge-patch+json"}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with start_store(tmp_path) as running:
        yield running


def eventually(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_others_learn_where_the_apiservers_are(tmp_path: Path, store: Store) -> None:
    flags = "--advertise-address=192.0.2.9"
    with start_apiserver(tmp_path / "a", store.url, flags) as server, server.http() as client:
        port = int(server.url.rpartition(":")[2])
        subset = client.get("/api/v1/namespaces/default/endpoints/kubernetes").json()["subsets"][0]
        assert [one["ip"] for one in subset["addresses"]] == ["192.0.2.9"]
        assert subset["ports"][0]["port"] == port
        path = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices/kubernetes"
        assert client.get(path).json()["endpoints"][0]["addresses"] == ["192.0.2.9"]


def test_two_apiservers_agree(tmp_path: Path, store: Store) -> None:
    with ExitStack() as stack:
        one = stack.enter_context(start_apiserver(tmp_path / "a", store.url))
        two = stack.enter_context(start_apiserver(tmp_path / "b", store.url, certificates=one.certificates))
        first, second = stack.enter_context(one.http()), stack.enter_context(two.http())
        for number in range(20):
            name = f"c-{number}"
            assert first.post(PATH, json=config_map(name)).status_code == 201
            assert second.get(f"{PATH}/{name}").status_code == 200
            listed = second.get(PATH).json()["items"]
            assert name in {item["metadata"]["name"] for item in listed}
            assert second.delete(f"{PATH}/{name}").status_code == 200
            assert first.get(f"{PATH}/{name}").status_code == 404


def test_addresses_are_given_out_once(tmp_path: Path, store: Store) -> None:
    path = "/api/v1/namespaces/default/services"

    def create(server: ApiServer, prefix: str, found: list[str]) -> None:
        with server.http() as client:
            for number in range(10):
                body = {"metadata": {"name": f"{prefix}{number}"}, "spec": {"type": "NodePort", "ports": [{"port": 1}]}}
                spec = client.post(path, json=body).json()["spec"]
                found += [spec["clusterIP"], str(spec["ports"][0]["nodePort"])]

    small = "--service-cluster-ip-range=10.96.0.0/27", "--service-node-port-range=30000-30030"
    with ExitStack() as stack:
        one = stack.enter_context(start_apiserver(tmp_path / "a", store.url, *small))
        two = stack.enter_context(start_apiserver(tmp_path / "b", store.url, *small, certificates=one.certificates))
        found: list[str] = []
        threads = [threading.Thread(target=create, args=(s, p, found)) for s, p in ((one, "a"), (two, "b"))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(found) == len(set(found)) == 40


def test_a_store_that_returns_is_followed_again(tmp_path: Path, store: Store) -> None:
    port = int(store.url.rpartition(":")[2])
    with start_apiserver(tmp_path / "a", store.url) as server, server.http() as client:
        assert client.post(PATH, json=config_map("before")).status_code == 201
        store.kill()
        assert client.get(f"{PATH}/before", params={"resourceVersion": "0"}).status_code == 200
        assert client.post(PATH, json=config_map("while")).status_code == 500
        assert client.get("/readyz").status_code == 500
        assert client.get("/livez/ping").status_code == 200
        with start_store(tmp_path, port):
            eventually(lambda: client.get("/readyz").status_code == 200)
            eventually(lambda: client.post(PATH, json=config_map("after")).status_code in (201, 409))
            names = {item["metadata"]["name"] for item in client.get(PATH).json()["items"]}
            assert {"before", "after"} <= names


def test_an_apiserver_returns_with_everything(tmp_path: Path, store: Store) -> None:
    with start_apiserver(tmp_path / "a", store.url) as first, first.http() as client:
        client.post(PATH, json=config_map("kept"))
        revision = client.get(f"{PATH}/kept").json()["metadata"]["resourceVersion"]
        certificates = first.certificates
    with start_apiserver(tmp_path / "a", store.url, certificates=certificates) as again, again.http() as client:
        assert client.get(f"{PATH}/kept").json()["metadata"]["resourceVersion"] == revision
        old = client.get(PATH, params={"watch": "1", "resourceVersion": "1"})
        assert old.status_code == 410
        assert old.json()["reason"] == "Expired"


def test_sigterm_ends_watches_and_the_process(tmp_path: Path, store: Store) -> None:
    with start_apiserver(tmp_path / "a", store.url) as server, server.http() as client:
        with client.stream("GET", PATH, params={"watch": "1"}) as answer:
            lines = answer.iter_lines()
            threading.Timer(0.2, server.process.terminate).start()
            try:
                seen = [orjson.loads(line)["type"] for line in lines]
            except httpx.TransportError:
                seen = []
            assert set(seen) <= {"ADDED"}
        assert server.process.wait(40) == 0


def test_what_cannot_start_says_why(tmp_path: Path, store: Store) -> None:
    with start_apiserver(tmp_path / "a", store.url) as server:
        port = int(server.url.rpartition(":")[2])
        with pytest.raises(AssertionError, match=f"cannot listen on 127.0.0.1:{port}"):
            start_apiserver(tmp_path / "b", store.url, certificates=server.certificates, port=port)
        with pytest.raises(AssertionError, match="--no-such-flag: unknown flag"):
            start_apiserver(tmp_path / "c", store.url, "--no-such-flag", certificates=server.certificates)
        flag = "--service-node-port-range=9-1"
        with pytest.raises(AssertionError, match="--service-node-port-range: '9-1' is not a range of ports"):
            start_apiserver(tmp_path / "d", store.url, flag, certificates=server.certificates)


def test_revisions_end_with_their_compaction_though_nothing_has_changed(tmp_path: Path, store: Store) -> None:
    flag = "--etcd-compaction-interval=300ms"
    with start_apiserver(tmp_path / "a", store.url, flag) as server, server.http() as client:
        for name in "ab":
            client.post(PATH, json=config_map(name))
        first = client.get(PATH, params={"limit": 1}).json()["metadata"]
        old = {"limit": 1, "continue": first["continue"]}
        exact = {"resourceVersion": first["resourceVersion"], "resourceVersionMatch": "Exact"}
        eventually(lambda: client.get(PATH, params=old).status_code == 410)
        assert client.get(PATH, params=exact).status_code == 410
        onward = client.get(PATH, params=old).json()["metadata"]["continue"]
        rest = client.get(PATH, params={"continue": onward}).json()
        assert [item["metadata"]["name"] for item in rest["items"]] == ["b"]


def test_pages_that_were_compacted_can_be_continued(tmp_path: Path, store: Store) -> None:
    flag = "--etcd-compaction-interval=300ms"
    with start_apiserver(tmp_path / "a", store.url, flag) as server, server.http() as client:
        for name in "abcd":
            client.post(PATH, json=config_map(name))
        first = client.get(PATH, params={"limit": 2}).json()["metadata"]
        old = {"limit": 2, "continue": first["continue"]}
        exact = {"resourceVersion": first["resourceVersion"], "resourceVersionMatch": "Exact"}

        def compacted() -> bool:
            client.patch(f"{PATH}/d", json={"data": {"n": str(time.monotonic())}}, headers=MERGE)
            return client.get(PATH, params=exact).status_code == 410

        eventually(compacted)
        refused = client.get(PATH, params=old)
        assert refused.status_code == 410
        assert refused.json()["reason"] == "Expired"
        onward = refused.json()["metadata"]["continue"]
        rest = client.get(PATH, params={"continue": onward}).json()
        assert [item["metadata"]["name"] for item in rest["items"]] == ["c", "d"]
