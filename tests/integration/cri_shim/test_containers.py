"""Containers over the real socket: output, ends, limits, users, isolation, mounts."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import NamedTuple

import pytest
import pytest_asyncio

from component_base.rpc import Code, RpcError
from kubelet.cri_shim import linux_syscalls
from kubelet.cri_shim.oci_security import MASKED_PATHS, READONLY_PATHS
from kubelet.cri_shim.toolbox_image import TOOLBOX_IMAGE
from skiff_pb.cri import runtime_pb2 as cri
from tests.integration.cri_shim.node import Node, until

pytestmark = [pytest.mark.root, pytest.mark.asyncio(loop_scope="session")]

LOG_LINE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+(Z|[+-]\d\d:\d\d) (stdout|stderr) ([FP]) (.*)")


class Pod(NamedTuple):
    node: Node
    id: str
    config: cri.PodSandboxConfig

    async def run(self, config: cri.ContainerConfig) -> str:
        return await self.node.run(self.id, self.config, config)

    def lines(self, name: str = "main") -> list[tuple[str, str, str]]:
        found = [LOG_LINE.fullmatch(line) for line in self.node.log(self.config, name).splitlines()]
        return [(match[2], match[3], match[4]) for match in found if match]


@pytest_asyncio.fixture(loop_scope="session")
async def pod(node: Node) -> AsyncIterator[Pod]:
    config = node.pod_config()
    sandbox = await node.sandbox(config)
    yield Pod(node, sandbox, config)
    await node.remove(sandbox)


async def test_output_goes_to_the_log_by_stream_and_line(pod: Pod) -> None:
    script = "echo one; echo two >&2; printf unfinished; exit 7"
    container = await pod.run(pod.node.container_config(["sh", "-c", script]))
    status = await pod.node.exited(container)
    assert (status.exit_code, status.reason) == (7, "Error")
    assert min(status.finished_at, status.started_at) >= status.created_at > 0
    lines = pod.lines()
    assert ("stdout", "F", "one") in lines
    assert ("stderr", "F", "two") in lines
    assert [text for _, _, text in lines if text == "unfinished"]


async def test_a_clean_end_is_called_completed(pod: Pod) -> None:
    status = await pod.node.exited(await pod.run(pod.node.container_config(["true"])))
    assert (status.exit_code, status.reason) == (0, "Completed")


async def test_long_lines_are_cut_and_marked(pod: Pod) -> None:
    container = await pod.run(pod.node.container_config(["sh", "-c", "head -c 40000 /dev/zero | tr '\\0' x; echo"]))
    await pod.node.exited(container)
    lines = pod.lines()
    assert [mark for _, mark, _ in lines] == ["P"] * (len(lines) - 1) + ["F"]
    assert "".join(text for _, _, text in lines) == "x" * 40000


async def test_nothing_is_lost_of_much_output(pod: Pod) -> None:
    container = await pod.run(pod.node.container_config(["seq", "1", "200000"]))
    await pod.node.exited(container)
    lines = [text for _, _, text in pod.lines()]
    if pod.node.own_plugin:
        # containerd's plugin may cut off a container's last lines, within one, when it ends under load.
        lines = lines[:-1]
    assert lines == [str(number) for number in range(1, len(lines) + 1)]
    assert pod.node.own_plugin or len(lines) == 200_000


async def test_a_missing_program_is_a_start_error(pod: Pod) -> None:
    container = await pod.node.create(pod.id, pod.config, pod.node.container_config(["/no/such/program"]))
    with pytest.raises(RpcError, match="no such file"):
        await pod.node.runtime("StartContainer", cri.StartContainerRequest(container_id=container))
    status = await pod.node.status(container)
    assert (status.state, status.exit_code, status.reason) == (cri.CONTAINER_EXITED, 128, "StartError")
    assert "no such file" in status.message


async def test_an_unknown_image_is_refused(pod: Pod) -> None:
    config = pod.node.container_config(["true"])
    config.image.image = "skiff.local/none:1"
    with pytest.raises(RpcError, match="not found"):
        await pod.node.create(pod.id, pod.config, config)


async def test_stop_signals_then_kills(pod: Pod) -> None:
    script = "trap 'echo bye; exit 5' TERM; echo armed; while :; do sleep 0.1; done"
    polite = await pod.run(pod.node.container_config(["sh", "-c", script], "polite"))
    stubborn = await pod.run(pod.node.container_config(["sh", "-c", "trap '' TERM; while :; do sleep 0.1; done"], "no"))
    await until(lambda: "armed" in pod.node.log(pod.config, "polite"), bool)
    await pod.node.runtime("StopContainer", cri.StopContainerRequest(container_id=polite, timeout=30))
    await pod.node.runtime("StopContainer", cri.StopContainerRequest(container_id=stubborn, timeout=1))
    assert (await pod.node.status(polite)).exit_code == 5
    assert ("stdout", "F", "bye") in pod.lines("polite")
    assert (await pod.node.status(stubborn)).exit_code == 137


async def test_rotated_logs_are_reopened(pod: Pod) -> None:
    container = await pod.run(pod.node.container_config(["sh", "-c", "while :; do echo tick; sleep 0.05; done"]))
    path = Path(pod.config.log_directory) / "main.log"
    await until(lambda: path.stat().st_size if path.exists() else 0, bool)
    path.rename(path.with_suffix(".old"))
    await pod.node.runtime("ReopenContainerLog", cri.ReopenContainerLogRequest(container_id=container))
    await until(lambda: path.stat().st_size if path.exists() else 0, bool)
    kept = path.with_suffix(".old").read_bytes()
    await asyncio.sleep(0.2)
    assert path.with_suffix(".old").read_bytes() == kept


async def test_exec_sync_gives_output_and_code_and_ends_in_time(pod: Pod) -> None:
    container = await pod.run(pod.node.container_config(["sleep", "1000"]))
    answer = await pod.node.exec(container, "sh", "-c", "echo out; echo err >&2; exit 3")
    assert (answer.stdout, answer.stderr, answer.exit_code) == (b"out\n", b"err\n", 3)
    with pytest.raises(RpcError) as refused:
        await pod.node.exec(container, "sleep", "33", timeout=1)
    assert refused.value.code == Code.DEADLINE_EXCEEDED
    assert b"sleep 33" not in (await pod.node.exec(container, "ps")).stdout
    with pytest.raises(RpcError, match=r"no such file|not found"):
        await pod.node.exec(container, "/no/such/program")
    big = await pod.node.exec(container, "sh", "-c", "head -c 3000000 /dev/zero")
    assert len(big.stdout) == 3_000_000


async def test_memory_over_the_limit_is_an_oom_kill(pod: Pod) -> None:
    config = pod.node.container_config(["sh", "-c", "tail /dev/zero"])
    config.linux.resources.memory_limit_in_bytes = 16 << 20
    status = await pod.node.exited(await pod.run(config))
    assert (status.exit_code, status.reason) == (137, "OOMKilled")


@pytest.mark.skipif(not os.path.exists("/sys/fs/cgroup/memory"), reason="this host has no cgroup v1")
async def test_limits_reach_the_cgroup_and_can_be_changed(pod: Pod) -> None:
    config = pod.node.container_config(["sleep", "1000"])
    resources = config.linux.resources
    resources.memory_limit_in_bytes, resources.cpu_shares = 64 << 20, 512
    resources.cpu_quota, resources.cpu_period = 50000, 100000
    container = await pod.run(config)

    async def read(name: str) -> str:
        controller = {"memory": "memory", "cpu": "cpu"}[name.partition(".")[0]]
        answer = await pod.node.exec(container, "cat", f"/sys/fs/cgroup/{controller}/{name}")
        return answer.stdout.decode().strip()

    assert await read("memory.limit_in_bytes") == str(64 << 20)
    assert (await read("cpu.shares"), await read("cpu.cfs_quota_us")) == ("512", "50000")
    wanted = cri.LinuxContainerResources(memory_limit_in_bytes=128 << 20, cpu_quota=20000, cpu_period=100000)
    request = cri.UpdateContainerResourcesRequest(container_id=container, linux=wanted)
    await pod.node.runtime("UpdateContainerResources", request)
    assert await read("memory.limit_in_bytes") == str(128 << 20)
    assert await read("cpu.cfs_quota_us") == "20000"
    assert (await pod.node.status(container)).resources.linux.memory_limit_in_bytes == 128 << 20


async def test_users_and_groups(pod: Pod) -> None:
    config = pod.node.container_config(["sleep", "1000"])
    context = config.linux.security_context
    context.run_as_user.value, context.run_as_group.value = 1234, 2345
    context.supplemental_groups.extend([3456])
    container = await pod.run(config)
    answer = (await pod.node.exec(container, "id")).stdout.decode()
    assert "uid=1234 gid=2345" in answer
    assert "3456" in answer
    named = pod.node.container_config(["sleep", "1000"], "named")
    named.linux.security_context.run_as_username = "www"
    container = await pod.run(named)
    assert "uid=82(www) gid=82(www)" in (await pod.node.exec(container, "id")).stdout.decode()


async def test_the_default_container_is_confined(pod: Pod) -> None:
    config = pod.node.container_config(["sleep", "1000"])
    context = config.linux.security_context
    context.readonly_rootfs, context.no_new_privs = True, True
    context.masked_paths.extend(MASKED_PATHS)
    context.readonly_paths.extend(READONLY_PATHS)
    context.seccomp.profile_type = cri.SecurityProfile.RuntimeDefault
    container = await pod.run(config)

    async def sh(script: str) -> tuple[int, str]:
        answer = await pod.node.exec(container, "sh", "-c", script)
        return answer.exit_code, (answer.stdout + answer.stderr).decode()

    assert (await sh("touch /file"))[0] != 0
    assert (await sh("echo 1 > /proc/sys/kernel/sysrq"))[0] != 0
    assert (await sh("cat /proc/timer_list"))[1] == ""
    assert (await sh("mount -t tmpfs none /tmp"))[0] != 0
    assert (await sh("unshare -m true"))[0] != 0
    status = (await sh("cat /proc/self/status"))[1]
    assert "NoNewPrivs:\t1" in status
    assert "Seccomp:\t2" in status
    assert "CapEff:\t00000000a80425fb" in status


async def test_capabilities_are_added_and_dropped(pod: Pod) -> None:
    config = pod.node.container_config(["sleep", "1000"])
    capabilities = config.linux.security_context.capabilities
    capabilities.add_capabilities.append("NET_ADMIN")
    capabilities.drop_capabilities.append("ALL")
    container = await pod.run(config)
    status = (await pod.node.exec(container, "cat", "/proc/self/status")).stdout.decode()
    assert f"CapBnd:\t{1 << 12:016x}" in status


async def test_environment_directory_and_command(pod: Pod) -> None:
    config = pod.node.container_config([])
    config.command.extend(["sh", "-c"])
    config.args.append('echo "$GREETING $PWD"')
    config.envs.add(key="GREETING", value=b"hello")
    config.working_dir = "/tmp"
    await pod.node.exited(await pod.run(config))
    assert ("stdout", "F", "hello /tmp") in pod.lines()


async def test_mounts_with_their_modes(pod: Pod, tmp_path: Path) -> None:
    (tmp_path / "given").write_text("from the host\n")
    config = pod.node.container_config(["sleep", "1000"])
    config.mounts.add(container_path="/ro", host_path=str(tmp_path), readonly=True)
    config.mounts.add(container_path="/rw", host_path=str(tmp_path))
    config.mounts.add(container_path="/made", host_path=str(tmp_path / "missing" / "folder"))
    container = await pod.run(config)
    assert (await pod.node.exec(container, "cat", "/ro/given")).stdout == b"from the host\n"
    assert (await pod.node.exec(container, "touch", "/ro/x")).exit_code != 0
    assert (await pod.node.exec(container, "sh", "-c", "echo back > /rw/answer")).exit_code == 0
    assert (tmp_path / "answer").read_text() == "back\n"
    assert (tmp_path / "missing" / "folder").is_dir()


async def test_an_image_can_be_a_volume(shim: Node) -> None:
    pod = shim.pod_config()
    sandbox = await shim.sandbox(pod)
    config = shim.container_config(["sleep", "1000"])
    whole = config.mounts.add(container_path="/image")
    part = config.mounts.add(container_path="/site", image_sub_path="www", readonly=True)
    for mount in (whole, part):
        mount.image.image = TOOLBOX_IMAGE
    container = await shim.run(sandbox, pod, config)
    assert (await shim.exec(container, "cat", "/image/www/index.html", "/site/index.html")).stdout == b"toolbox\n" * 2
    assert (await shim.exec(container, "touch", "/image/x")).exit_code != 0
    await shim.remove(sandbox)
    assert not os.listdir(shim.folder / "shimrun" / "image-mounts")


async def test_devices_are_given_by_name(pod: Pod) -> None:
    config = pod.node.container_config(["sleep", "1000"])
    config.devices.add(container_path="/dev/mine", host_path="/dev/full", permissions="rw")
    container = await pod.run(config)
    answer = await pod.node.exec(container, "sh", "-c", "echo x > /dev/mine")
    assert b"No space left" in answer.stderr


async def test_privileged_sees_the_hosts_devices_and_may_mount(node: Node) -> None:
    pod = node.pod_config()
    config = node.container_config(["sleep", "1000"])
    config.linux.security_context.privileged = True
    plain = await node.sandbox(node.pod_config())
    with pytest.raises(RpcError, match="no privileged container allowed in sandbox"):
        await node.create(plain, pod, config)
    pod.linux.security_context.privileged = True
    sandbox = await node.sandbox(pod)
    container = await node.run(sandbox, pod, config)
    script = "mkdir /m && mount -t tmpfs none /m && touch /m/x && cat /proc/self/status && ls /dev"
    answer = await node.exec(container, "sh", "-c", script)
    assert answer.exit_code == 0, answer.stderr
    assert b"Seccomp:\t0" in answer.stdout
    assert b"loop" in answer.stdout or b"fuse" in answer.stdout
    for identity in (plain, sandbox):
        await node.remove(identity)


async def test_a_neighbours_processes_can_be_looked_at(pod: Pod) -> None:
    target = await pod.run(pod.node.container_config(["sleep", "1000"], "target"))
    config = pod.node.container_config(["sleep", "2000"], "debugger")
    options = config.linux.security_context.namespace_options
    options.pid, options.target_id = cri.TARGET, target
    container = await pod.run(config)
    assert b"sleep 1000" in (await pod.node.exec(container, "ps")).stdout


async def test_usage_is_reported(pod: Pod) -> None:
    container = await pod.run(pod.node.container_config(["sh", "-c", "echo note > /file; while :; do :; done"]))

    async def usage() -> cri.ContainerStats:
        answer = await pod.node.runtime("ContainerStats", cri.ContainerStatsRequest(container_id=container))
        stats: cri.ContainerStats = answer.stats
        return stats

    first = await until(usage, lambda stats: stats.cpu.usage_core_nano_seconds.value > 0)
    await until(usage, lambda stats: stats.cpu.usage_core_nano_seconds.value > first.cpu.usage_core_nano_seconds.value)
    assert first.memory.working_set_bytes.value > 0
    assert first.attributes.metadata.name == "main"
    listed = await pod.node.runtime("ListContainerStats", cri.ListContainerStatsRequest())
    assert container in [stats.attributes.id for stats in listed.stats]


async def test_a_pods_usage_has_its_network_and_containers(shim: Node) -> None:
    config = shim.pod_config()
    sandbox = await shim.sandbox(config)
    container = await shim.run(sandbox, config, shim.container_config(["sleep", "1000"]))
    await shim.exec(container, "ping", "-c", "1", f"10.213.{shim.subnet}.1")
    answer = await shim.runtime("PodSandboxStats", cri.PodSandboxStatsRequest(pod_sandbox_id=sandbox))
    linux = answer.stats.linux
    assert linux.network.default_interface.name == "eth0"
    assert linux.network.default_interface.tx_bytes.value > 0
    assert linux.process.process_count.value >= 2
    assert linux.memory.working_set_bytes.value > 0
    assert [stats.attributes.id for stats in linux.containers] == [container]
    await shim.remove(sandbox)


async def test_read_only_mounts_can_be_so_to_the_bottom(shim: Node, tmp_path: Path) -> None:
    answer = await shim.runtime("Status", cri.StatusRequest())
    if not answer.runtime_handlers[0].features.recursive_read_only_mounts:
        pytest.skip("this runc does not know the option rro")
    (tmp_path / "below").mkdir()
    linux_syscalls.mount("none", str(tmp_path / "below"), "tmpfs", 0)
    try:
        pod = shim.pod_config()
        sandbox = await shim.sandbox(pod)
        config = shim.container_config(["sleep", "1000"])
        config.mounts.add(container_path="/plain", host_path=str(tmp_path), readonly=True)
        config.mounts.add(container_path="/deep", host_path=str(tmp_path), readonly=True, recursive_read_only=True)
        container = await shim.run(sandbox, pod, config)
        assert (await shim.exec(container, "touch", "/plain/below/x")).exit_code == 0
        assert (await shim.exec(container, "touch", "/deep/below/y")).exit_code != 0
        await shim.remove(sandbox)
    finally:
        linux_syscalls.unmount(str(tmp_path / "below"))


async def test_a_container_that_runs_is_removed_by_force(pod: Pod) -> None:
    container = await pod.run(pod.node.container_config(["sleep", "1000"]))
    await pod.node.runtime("RemoveContainer", cri.RemoveContainerRequest(container_id=container))
    await pod.node.runtime("RemoveContainer", cri.RemoveContainerRequest(container_id=container))
    listed = await pod.node.runtime("ListContainers", cri.ListContainersRequest())
    assert container not in [each.id for each in listed.containers]


async def test_events_tell_of_a_containers_life(shim: Node) -> None:
    seen: list[tuple[str, int]] = []

    async def listen() -> None:
        async for event in shim.events():
            seen.append((event.container_id, event.container_event_type))

    async with asyncio.TaskGroup() as group:
        listening = group.create_task(listen())
        await asyncio.sleep(0.1)
        config = shim.pod_config()
        sandbox = await shim.sandbox(config)
        container = await shim.run(sandbox, config, shim.container_config(["true"]))
        await until(lambda: (container, cri.CONTAINER_STOPPED_EVENT) in seen, bool)
        await shim.remove(sandbox)
        await until(lambda: (sandbox, cri.CONTAINER_DELETED_EVENT) in seen, bool)
        listening.cancel()
    own = [kind for identity, kind in seen if identity == container]
    assert own == [cri.CONTAINER_CREATED_EVENT, cri.CONTAINER_STARTED_EVENT, cri.CONTAINER_STOPPED_EVENT]
