"""`python -m kubelet` in a process of its own: the node, its Lease, a pod, the HTTPS API."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from component_base.pki import CertificateAuthority, Usage
from serving.host import HttpServer
from tests.integration.kubelet.conftest import PATIENCE
from tests.integration.kubelet.served_api import ServedApi
from tests.integration.ports import free_ports
from tests.unit.kubelet.fake_api import FakeApi

pytestmark = pytest.mark.root
LEASE = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/node-1"


@dataclass
class Running:
    api: FakeApi
    served: ServedApi
    client: httpx.AsyncClient
    log: Path
    process: subprocess.Popen[bytes]
    port: int
    healthz_port: int

    async def until(self, condition: Callable[[], Any], seconds: float = PATIENCE) -> None:
        try:
            async with asyncio.timeout(seconds):
                while not condition():  # noqa: ASYNC110 - the other side gives no sign
                    await asyncio.sleep(0.02)
        except TimeoutError:
            raise AssertionError(f"never came true; the kubelet said:\n{self.log.read_text()}") from None


def write_credentials(folder: Path, port: int) -> None:
    authority = CertificateAuthority.create("test")
    authority.pair().write(folder / "ca.crt", folder / "ca.key")
    server = authority.issue("node-1", ips=["127.0.0.1"], usages=Usage.SERVER)
    server.write(folder / "server.crt", folder / "server.key")
    authority.issue("kube-apiserver-kubelet-client").write(folder / "client.crt", folder / "client.key")
    context = {"name": "c", "context": {"cluster": "c", "user": "u"}}
    cluster = {"name": "c", "cluster": {"server": f"http://127.0.0.1:{port}"}}
    config = {
        "current-context": "c",
        "contexts": [context],
        "clusters": [cluster],
        "users": [{"name": "u", "user": {}}],
    }
    (folder / "kubeconfig").write_text(yaml.safe_dump(config))


@pytest.fixture
async def running(containerd: Path, tmp_path: Path) -> AsyncIterator[Running]:
    api = FakeApi()
    served = ServedApi(api)
    server = HttpServer(served, "127.0.0.1", 0)
    await server.start()
    write_credentials(tmp_path, server.port)
    port, healthz_port = free_ports(2)
    arguments = [
        f"--kubeconfig={tmp_path}/kubeconfig",
        "--hostname-override=node-1",
        "--node-ip=127.0.0.1",
        "--address=127.0.0.1",
        f"--port={port}",
        f"--healthz-port={healthz_port}",
        f"--container-runtime-endpoint=unix://{containerd}",
        f"--root-dir={tmp_path}/kubelet",
        f"--pod-log-dir={tmp_path}/logs",
        f"--tls-cert-file={tmp_path}/server.crt",
        f"--tls-private-key-file={tmp_path}/server.key",
        f"--client-ca-file={tmp_path}/ca.crt",
        "--cluster-dns=10.96.0.10",
        "--cgroup-root=skifftest",
        "--fail-swap-on=false",
    ]
    log = tmp_path / "kubelet.log"
    with log.open("wb") as output:
        command = [sys.executable, "-m", "kubelet", *arguments]
        process = subprocess.Popen(command, stderr=output)  # noqa: ASYNC220 - returns at once
    context = ssl.create_default_context(cafile=str(tmp_path / "ca.crt"))
    context.load_cert_chain(tmp_path / "client.crt", tmp_path / "client.key")
    async with httpx.AsyncClient(base_url=f"https://127.0.0.1:{port}", verify=context, timeout=PATIENCE) as client:
        yield Running(api, served, client, log, process, port, healthz_port)
    for path in [p for p in api.objects if "/pods/" in p]:
        api.delete_pod(path, grace=0)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(PATIENCE):
            while any("/pods/" in p for p in api.objects):  # noqa: ASYNC110 - the other side gives no sign
                await asyncio.sleep(0.02)
    process.terminate()
    await asyncio.to_thread(process.wait, PATIENCE)
    await server.stop()


async def test_the_node_registers_runs_a_pod_and_serves_its_logs(running: Running) -> None:
    api = running.api
    await running.until(lambda: api.condition_of_node("Ready") == "True")
    node = api.objects["/api/v1/nodes/node-1"]
    assert node["metadata"]["labels"]["kubernetes.io/hostname"] == "node-1"
    assert node["status"]["daemonEndpoints"] == {"kubeletEndpoint": {"Port": running.port}}
    await running.until(lambda: LEASE in api.objects)
    assert api.objects[LEASE]["spec"]["holderIdentity"] == "node-1"
    path = api.pod("talker", {"containers": [{"name": "a", "command": ["sh", "-c", "echo hello; sleep 1000"]}]})
    await running.until(lambda: api.condition(path, "Ready") == "True")
    answer = await running.client.get("/containerLogs/default/talker/a")
    assert (answer.status_code, answer.text) == (200, "hello\n")
    assert running.served.user == "kube-apiserver-kubelet-client"
    answer = await running.client.get("/containerLogs/default/talker/b")
    assert answer.status_code == 404
    answer = await running.client.post("/run/default/talker/a", params={"cmd": "echo from inside"})
    assert answer.text == "from inside\n"
    summary = (await running.client.get("/stats/summary")).json()
    assert [p["podRef"]["name"] for p in summary["pods"]] == ["talker"]
    text = (await running.client.get("/metrics/resource")).text
    assert 'container_memory_working_set_bytes{container="a",namespace="default",pod="talker"}' in text
    pods = (await running.client.get("/pods")).json()
    assert [p["metadata"]["name"] for p in pods["items"]] == ["talker"]
    await running.until(lambda: ("Normal", "Started", "Container started") in api.events)
    async with httpx.AsyncClient() as plain:
        assert (await plain.get(f"http://127.0.0.1:{running.healthz_port}/healthz")).text == "ok"


async def test_exec_is_joined_to_the_runtimes_stream(running: Running) -> None:
    api = running.api
    path = api.pod("target", {"containers": [{"name": "a", "command": ["sleep", "1000"]}]})
    await running.until(lambda: api.condition(path, "Ready") == "True")
    from websockets.asyncio.client import connect

    context = ssl.create_default_context(cafile=str(running.log.parent / "ca.crt"))
    context.load_cert_chain(running.log.parent / "client.crt", running.log.parent / "client.key")
    url = f"wss://127.0.0.1:{running.port}/exec/default/target/a?command=echo&command=hi&output=1&error=1"
    async with connect(url, ssl=context, subprotocols=["v4.channel.k8s.io"]) as socket:  # type: ignore[list-item]
        messages = [message async for message in socket]
    assert b"\x01hi\n" in messages
    assert b'"Success"' in messages[-1]
