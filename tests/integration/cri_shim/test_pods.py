"""Sandboxes over the real socket: network, names, files, namespaces, listing, and taking them down."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from component_base.rpc import RpcError
from skiff_pb.cri import runtime_pb2 as cri
from tests.integration.cri_shim.node import Node, until

pytestmark = [pytest.mark.root, pytest.mark.asyncio(loop_scope="session")]


async def pod_status(node: Node, sandbox: str) -> cri.PodSandboxStatus:
    answer = await node.runtime("PodSandboxStatus", cri.PodSandboxStatusRequest(pod_sandbox_id=sandbox))
    status: cri.PodSandboxStatus = answer.status
    return status


async def fetch(address: str, port: int, path: str = "/") -> str:
    reader, writer = await asyncio.open_connection(address, port)
    writer.write(f"GET {path} HTTP/1.0\r\n\r\n".encode())
    data = await reader.read()
    writer.close()
    return data.decode()


async def test_the_runtime_is_ready(node: Node) -> None:
    answer = await node.runtime("Status", cri.StatusRequest())
    conditions = {condition.type: condition.status for condition in answer.status.conditions}
    assert conditions["RuntimeReady"]
    assert conditions["NetworkReady"]
    version = await node.runtime("Version", cri.VersionRequest())
    assert (version.version, version.runtime_api_version) == ("0.1.0", "v1")


async def test_a_pod_serves_on_its_own_address(node: Node) -> None:
    pod = node.pod_config()
    sandbox = await node.sandbox(pod)
    status = await pod_status(node, sandbox)
    assert status.state == cri.SANDBOX_READY
    assert status.network.ip.startswith("10.213.")
    await node.run(sandbox, pod, node.container_config(["web", "8080"]))
    await until(lambda: reachable(status.network.ip, 8080), bool)
    assert pod.hostname in await fetch(status.network.ip, 8080, "/cgi-bin/hostname")
    await node.remove(sandbox)


async def reachable(address: str, port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection(address, port)
    except OSError:
        return False
    writer.close()
    return True


async def test_host_ports_lead_into_the_pod(node: Node) -> None:
    pod = node.pod_config()
    port = 18000 + node.subnet
    pod.port_mappings.add(protocol=cri.TCP, container_port=8080, host_port=port)
    sandbox = await node.sandbox(pod)
    await node.run(sandbox, pod, node.container_config(["web", "8080"]))
    gateway = f"10.213.{node.subnet}.1"
    await until(lambda: reachable(gateway, port), bool)
    assert "toolbox" in await fetch(gateway, port)
    await node.remove(sandbox)
    assert not await reachable(gateway, port)


async def test_containers_see_the_pods_name_and_resolver(node: Node) -> None:
    pod = node.pod_config()
    sandbox = await node.sandbox(pod)
    container = await node.run(sandbox, pod, node.container_config(["sleep", "1000"]))
    assert (await node.exec(container, "hostname")).stdout.decode().strip() == pod.hostname
    resolver = (await node.exec(container, "cat", "/etc/resolv.conf")).stdout.decode().splitlines()
    assert sorted(resolver) == ["nameserver 10.96.0.10", "options ndots:5", "search default.svc.cluster.local"]
    assert (await node.exec(container, "cat", "/etc/hostname")).stdout.decode().strip() == pod.hostname
    await node.remove(sandbox)


async def test_containers_of_a_pod_share_network_memory_and_if_asked_processes(node: Node) -> None:
    pod = node.pod_config()
    sandbox = await node.sandbox(pod)
    first = node.container_config(["sh", "-c", "echo shared > /dev/shm/note; exec httpd -f -p 127.0.0.1:81"], "first")
    second = node.container_config(["sleep", "1000"], "second")
    for config in (first, second):
        config.linux.security_context.namespace_options.pid = cri.POD
    await node.run(sandbox, pod, first)
    container = await node.run(sandbox, pod, second)
    await until(lambda: node.exec(container, "cat", "/dev/shm/note"), lambda answer: answer.stdout == b"shared\n")
    await until(lambda: node.exec(container, "nc", "-w", "1", "127.0.0.1", "81"), lambda answer: answer.exit_code == 0)
    listing = (await node.exec(container, "ps")).stdout.decode()
    assert "/pause" in listing
    assert "httpd" in listing
    await node.remove(sandbox)


async def test_host_namespaces_are_the_hosts_own(node: Node) -> None:
    pod = node.pod_config(network=cri.NODE, pid=cri.NODE, ipc=cri.NODE)
    pod.hostname = ""
    sandbox = await node.sandbox(pod)
    assert (await pod_status(node, sandbox)).network.ip == ""
    config = node.container_config(["sleep", "1000"])
    config.linux.security_context.namespace_options.pid = cri.NODE
    container = await node.run(sandbox, pod, config)
    for kind in ("net", "pid", "ipc", "uts"):
        inside = (await node.exec(container, "readlink", f"/proc/self/ns/{kind}")).stdout.decode().strip()
        assert inside == os.readlink(f"/proc/self/ns/{kind}"), kind
    await node.remove(sandbox)


async def test_sysctls_hold_in_the_pod(node: Node) -> None:
    pod = node.pod_config()
    pod.linux.sysctls["net.core.somaxconn"] = "777"
    sandbox = await node.sandbox(pod)
    container = await node.run(sandbox, pod, node.container_config(["sleep", "1000"]))
    assert (await node.exec(container, "cat", "/proc/sys/net/core/somaxconn")).stdout == b"777\n"
    await node.remove(sandbox)


async def test_lists_are_filtered_by_id_state_and_labels(node: Node) -> None:
    pod, other = node.pod_config(), node.pod_config()
    sandbox, stopped = await node.sandbox(pod), await node.sandbox(other)
    await node.runtime("StopPodSandbox", cri.StopPodSandboxRequest(pod_sandbox_id=stopped))

    async def ids(**chosen: object) -> list[str]:
        request = cri.ListPodSandboxRequest(filter=cri.PodSandboxFilter(**chosen))  # type: ignore[arg-type]
        return [item.id for item in (await node.runtime("ListPodSandbox", request)).items]

    assert await ids(id=sandbox) == [sandbox]
    assert await ids(id=sandbox[:13]) == [sandbox]
    assert await ids(label_selector={"app": other.hostname}) == [stopped]
    assert await ids(label_selector={"app": "none"}) == []
    assert await ids(state=cri.PodSandboxStateValue(state=cri.SANDBOX_READY)) == [sandbox]
    assert await ids(state=cri.PodSandboxStateValue(state=cri.SANDBOX_NOTREADY)) == [stopped]
    for identity in (sandbox, stopped):
        await node.remove(identity)


async def test_stop_and_remove_can_be_repeated(node: Node) -> None:
    pod = node.pod_config()
    sandbox = await node.sandbox(pod)
    container = await node.run(sandbox, pod, node.container_config(["sleep", "1000"]))
    for _ in range(2):
        await node.runtime("StopPodSandbox", cri.StopPodSandboxRequest(pod_sandbox_id=sandbox))
    assert (await pod_status(node, sandbox)).state == cri.SANDBOX_NOTREADY
    assert (await node.status(container)).state == cri.CONTAINER_EXITED
    for _ in range(2):
        await node.runtime("RemovePodSandbox", cri.RemovePodSandboxRequest(pod_sandbox_id=sandbox))
    with pytest.raises(RpcError, match="not found"):
        await pod_status(node, sandbox)
    with pytest.raises(RpcError, match="not found"):
        await node.status(container)


async def test_a_failed_network_leaves_nothing_behind(shim: Node) -> None:
    conf = shim.folder / "cni" / "10-test.conflist"
    good = conf.read_text()
    conf.write_text(good.replace('"portmap"', '"nosuchplugin"'))
    try:
        answer = await shim.runtime("Status", cri.StatusRequest())
        network = next(c for c in answer.status.conditions if c.type == "NetworkReady")
        assert not network.status
        assert "nosuchplugin" in network.message
        with pytest.raises(RpcError, match="nosuchplugin"):
            await shim.sandbox(shim.pod_config())
    finally:
        conf.write_text(good)
    assert not (await shim.runtime("ListPodSandbox", cri.ListPodSandboxRequest())).items
    assert not os.listdir(shim.folder / "shimrun" / "netns")
    held = [name for name in os.listdir(shim.folder / "ipam" / f"test{shim.subnet}") if name.startswith("10.")]
    assert held == []


async def test_the_same_pod_is_not_made_twice(shim: Node) -> None:
    pod = shim.pod_config()
    sandbox = await shim.sandbox(pod)
    with pytest.raises(RpcError, match="reserve sandbox name"):
        await shim.sandbox(pod)
    await shim.remove(sandbox)


async def test_removed_pods_leave_no_mounts_namespaces_or_snapshots(shim: Node) -> None:
    pod = shim.pod_config()
    sandbox = await shim.sandbox(pod)
    await shim.run(sandbox, pod, shim.container_config(["sleep", "1000"]))
    await shim.remove(sandbox)
    assert not os.listdir(shim.folder / "shimrun" / "netns")
    assert not os.listdir(shim.folder / "shimrun" / "sandboxes")
    assert not os.listdir(shim.folder / "shimrun" / "io")
    assert not os.listdir(shim.folder / "shim" / "sandboxes")
    assert sandbox not in await asyncio.to_thread(Path("/proc/self/mountinfo").read_text)
