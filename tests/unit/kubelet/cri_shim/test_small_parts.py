"""The pure parts: log lines, names, users, networks, cgroup files, signals, views."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from kubelet.cri_shim import views
from kubelet.cri_shim.cgroups import CgroupReader, expand_slice
from kubelet.cri_shim.cni import Attachment, CniError, addresses, load_network_list, parse_network_list, plugin_input
from kubelet.cri_shim.containerd_config import containerd_config
from kubelet.cri_shim.image_build import FileEntry as File
from kubelet.cri_shim.image_build import build_image, digest_of, layer_tar, oci_archive
from kubelet.cri_shim.image_catalog import choose_platform
from kubelet.cri_shim.image_recipe import RecipeError, merged_config, read_recipe
from kubelet.cri_shim.image_refs import parse_reference
from kubelet.cri_shim.log_format import MAX_LINE, LogFramer, timestamp
from kubelet.cri_shim.mount_sources import image_volumes, mount_of
from kubelet.cri_shim.oci_resources import HostTraits
from kubelet.cri_shim.pause_image import pause_program
from kubelet.cri_shim.records import ContainerRecord, SandboxRecord, decode_container, encode
from kubelet.cri_shim.rootfs import layer_directories, read_file
from kubelet.cri_shim.sandbox_files import resolver_text
from kubelet.cri_shim.sandboxes import bandwidth, cni_attachment
from kubelet.cri_shim.stats import parse_network
from kubelet.cri_shim.users import resolve_user
from skiff_pb.containerd import mount_pb2
from skiff_pb.cri import runtime_pb2 as cri

NOW = 1_767_323_045_000_000_042


def test_timestamps_have_nine_digits() -> None:
    assert timestamp(NOW) == b"2026-01-02T03:04:05.000000042Z"
    assert timestamp(951_782_400 * 10**9) == b"2000-02-29T00:00:00.000000000Z"


def test_lines_are_framed_and_cut() -> None:
    framer = LogFramer("stdout")
    assert framer.feed(b"one\ntw", NOW) == timestamp(NOW) + b" stdout F one\n"
    assert framer.feed(b"o\n", NOW) == timestamp(NOW) + b" stdout F two\n"
    long = framer.feed(b"x" * (MAX_LINE + 1) + b"\n", NOW).splitlines()
    assert [line.split(b" ")[2] for line in long] == [b"P", b"F"]
    assert framer.end(NOW) == b""
    assert framer.feed(b"rest", NOW) == b""
    assert framer.end(NOW) == timestamp(NOW) + b" stdout P rest\n"


@pytest.mark.parametrize(
    ("text", "full"),
    [
        ("busybox", "docker.io/library/busybox:latest"),
        ("team/app:1", "docker.io/team/app:1"),
        ("registry.k8s.io/pause:3.9", "registry.k8s.io/pause:3.9"),
        ("localhost/x", "localhost/x:latest"),
        ("127.0.0.1:5000/a/b:c", "127.0.0.1:5000/a/b:c"),
        ("x@sha256:" + "a" * 64, "docker.io/library/x@sha256:" + "a" * 64),
    ],
)
def test_references_in_full(text: str, full: str) -> None:
    assert str(parse_reference(text)) == full


@pytest.mark.parametrize("text", ["", "UPPER", "a:b:c/d", "x@sha256:short", "a//b", "x:", ":1"])
def test_what_is_no_reference(text: str) -> None:
    with pytest.raises(ValueError, match="not a valid image reference"):
        parse_reference(text)


PASSWD = "root:x:0:0::/:/bin/sh\nwww:x:82:83::/:/bin/false\n"
GROUP = "root:x:0:\nwww:x:83:\nstaff:x:50:www\n"


def test_users_come_from_the_pod_or_the_image() -> None:
    context = cri.LinuxContainerSecurityContext()
    user = resolve_user(context, "www", PASSWD, GROUP)
    assert (user.uid, user.gid, user.groups) == (82, 83, (83, 50))
    assert resolve_user(context, "7:staff", PASSWD, GROUP).gid == 50
    context.run_as_user.value = 0
    assert resolve_user(context, "www", PASSWD, GROUP).uid == 0
    context.run_as_group.value = 9
    context.supplemental_groups.append(5)
    user = resolve_user(context, "www", PASSWD, GROUP)
    assert (user.gid, user.groups) == (9, (9, 5))


def test_strict_groups_leave_out_the_images() -> None:
    context = cri.LinuxContainerSecurityContext(supplemental_groups_policy=cri.Strict, run_as_username="www")
    assert resolve_user(context, "", PASSWD, GROUP).groups == (83,)


def test_an_unknown_user_is_refused() -> None:
    with pytest.raises(ValueError, match="not in the image's /etc/passwd"):
        resolve_user(cri.LinuxContainerSecurityContext(), "nobody-here", PASSWD, GROUP)


def test_files_are_found_through_layers_links_and_deletions(tmp_path: Path) -> None:
    low, high = tmp_path / "low", tmp_path / "high"
    for layer in (low, high):
        (layer / "etc").mkdir(parents=True)
    (low / "etc" / "passwd").write_text("low")
    (low / "etc" / "group").write_text("group")
    (high / "real").write_text("linked")
    os.symlink("../real", high / "etc" / "link")
    os.symlink("/etc/group", high / "etc" / "absolute")
    os.symlink("../../../../../etc/hostname", high / "etc" / "outside")
    mount = mount_pb2.Mount(type="overlay", options=[f"lowerdir={low}", f"upperdir={high}", "workdir=/w"])
    layers = layer_directories([mount])
    assert read_file(layers, "/etc/passwd") == "low"
    assert read_file(layers, "/etc/link") == "linked"
    assert read_file(layers, "/etc/absolute") == "group"
    assert read_file(layers, "/etc/outside") is None
    assert read_file(layers, "/etc") is None


def test_links_in_lower_layers_do_not_lead_out(tmp_path: Path) -> None:
    low, high, host = tmp_path / "low", tmp_path / "high", tmp_path / "host"
    write_tree(host, {"passwd": "the host's"})
    low.mkdir()
    os.symlink(host, low / "etc")
    (high / "etc").mkdir(parents=True)
    assert read_file([str(high), str(low)], "/etc/passwd") is None
    assert read_file([str(low)], "/etc/passwd") is None


BRIDGE = {
    "cniVersion": "0.4.0",
    "name": "n",
    "plugins": [{"type": "bridge"}, {"type": "portmap", "capabilities": {"portMappings": True}}],
}


def test_network_lists_are_read_and_checked(tmp_path: Path) -> None:
    with pytest.raises(CniError, match="cni plugin not initialized"):
        load_network_list(str(tmp_path))
    (tmp_path / "20.conflist").write_text("{}")
    (tmp_path / "10.conflist").write_text(json.dumps(BRIDGE))
    network = load_network_list(str(tmp_path))
    assert [plugin["type"] for plugin in network.plugins] == ["bridge", "portmap"]
    assert parse_network_list(network.to_json(), "x") == network
    for broken in ("[]", '{"name": "x", "plugins": [{"type": "../evil"}]}', '{"name":"x","plugins":[]}', "no"):
        with pytest.raises(CniError):
            parse_network_list(broken, "x")


def test_plugins_get_what_they_can_use() -> None:
    config = cri.PodSandboxConfig()
    config.metadata.name, config.metadata.namespace = "p", "ns"
    config.port_mappings.add(host_port=80, container_port=8080, protocol=cri.UDP)
    config.port_mappings.add(container_port=9)
    attachment = cni_attachment(SandboxRecord(id="s1", config=b"", netns="/n"), config)
    assert attachment.args["K8S_POD_NAME"] == "p"
    network = parse_network_list(json.dumps(BRIDGE), "x")
    plain, mapped = (plugin_input(network, plugin, attachment, {"ips": []}) for plugin in network.plugins)
    assert "runtimeConfig" not in plain
    mapping = {"hostPort": 80, "containerPort": 8080, "protocol": "udp", "hostIP": ""}
    assert mapped["runtimeConfig"] == {"portMappings": [mapping]}
    assert mapped["prevResult"] == {"ips": []}
    assert isinstance(attachment, Attachment)


def test_bandwidth_is_read_from_annotations() -> None:
    limits = bandwidth({"kubernetes.io/ingress-bandwidth": "10M", "kubernetes.io/egress-bandwidth": "fast"})
    assert limits == {"ingressRate": 10_000_000, "ingressBurst": 2**31 - 1}


def test_only_addresses_inside_the_pod_are_its_own() -> None:
    interfaces = [{"name": "br"}, {"name": "eth0", "sandbox": "/n"}]
    ips = [
        {"address": "10.0.0.1/24", "interface": 0},
        {"address": "10.0.0.5/24", "interface": 1},
        {"address": "::5/64"},
    ]
    assert addresses({"interfaces": interfaces, "ips": ips}) == ["10.0.0.5", "::5"]


def test_resolver_text() -> None:
    config = cri.DNSConfig(servers=["10.96.0.10"], searches=["a", "b"], options=["ndots:5"])
    assert resolver_text(config) == "search a b\nnameserver 10.96.0.10\noptions ndots:5\n"
    assert resolver_text(cri.DNSConfig()) is None


def write_tree(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def test_usage_from_version_1_files(tmp_path: Path) -> None:
    write_tree(
        tmp_path,
        {
            "memory/pod/c1/memory.stat": "total_inactive_file 100\ntotal_rss 300\npgfault 7\npgmajfault 1\n",
            "memory/pod/c1/memory.usage_in_bytes": "1000\n",
            "memory/pod/c1/memory.limit_in_bytes": "9223372036854771712\n",
            "memory/pod/c1/memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n",
            "cpuacct/pod/c1/cpuacct.usage": "55\n",
            "pids/pod/c1/pids.current": "3\n",
        },
    )
    reader = CgroupReader(HostTraits(cgroup_version=1), str(tmp_path))
    usage = reader.usage(reader.path("/pod", "c1"))
    assert usage is not None
    assert (usage.cpu_ns, usage.memory, usage.working_set, usage.rss) == (55, 1000, 900, 300)
    assert (usage.limit, usage.processes) == (0, 3)
    assert reader.oom_kills("/pod", "c1") == 2
    assert reader.usage("/pod/c2") is None


def test_usage_from_version_2_files(tmp_path: Path) -> None:
    write_tree(
        tmp_path,
        {
            "pod/c1/memory.stat": "inactive_file 100\nanon 300\npgfault 7\npgmajfault 1\n",
            "pod/c1/memory.current": "1000\n",
            "pod/c1/memory.max": "max\n",
            "pod/c1/memory.events": "oom 1\noom_kill 1\n",
            "pod/c1/cpu.stat": "usage_usec 5\nuser_usec 3\n",
        },
    )
    reader = CgroupReader(HostTraits(cgroup_version=2), str(tmp_path))
    usage = reader.usage("/pod/c1")
    assert usage is not None
    assert (usage.cpu_ns, usage.working_set, usage.rss, usage.limit) == (5000, 900, 300, 0)
    assert reader.oom_kills("/pod", "c1") == 1


def test_systemd_slices_nest() -> None:
    assert expand_slice("a-b-c.slice") == "/a.slice/a-b.slice/a-b-c.slice"
    reader = CgroupReader(HostTraits(cgroup_version=2, systemd_cgroup=True))
    assert reader.path("/x/kubepods-p1.slice", "c") == "/kubepods.slice/kubepods-p1.slice/cri-skiff-c.scope"


@pytest.mark.parametrize(
    ("text", "number"), [("SIGTERM", 15), ("term", 15), ("9", 9), ("SIGRTMIN+3", 37), ("RTMAX-1", 63)]
)
def test_signal_names(text: str, number: int) -> None:
    assert views.signal_number(text) == number


def test_unknown_signals_are_refused() -> None:
    with pytest.raises(ValueError, match="not a signal"):
        views.signal_number("SIGNOTHING")


def record(**changes: object) -> ContainerRecord:
    config = cri.ContainerConfig()
    config.metadata.name = "main"
    config.labels["app"] = "x"
    given: dict[str, object] = {"id": "abc", "sandbox_id": "s1", "config": config.SerializeToString(), "created_at": 1}
    return ContainerRecord(**{**given, **changes})  # type: ignore[arg-type]


def test_states_and_reasons() -> None:
    assert views.container_status(record()).state == cri.CONTAINER_CREATED
    assert views.container_status(record(started_at=2)).state == cri.CONTAINER_RUNNING
    for changes, reason in (
        ({"exit_code": 0}, "Completed"),
        ({"exit_code": 1}, "Error"),
        ({"exit_code": 137, "oom_killed": True}, "OOMKilled"),
        ({"exit_code": 128, "reason": "StartError"}, "StartError"),
    ):
        status = views.container_status(record(started_at=2, finished_at=3, **changes))
        assert (status.state, status.reason) == (cri.CONTAINER_EXITED, reason)


def test_records_survive_encoding() -> None:
    original = record(groups=[1, 2], log_path="/l")
    assert decode_container(encode(original)) == original


def test_container_filters() -> None:
    items = [views.container_item(record(id="abc1")), views.container_item(record(id="def2", started_at=5))]
    by_id = cri.ContainerFilter(id="abc")
    running = cri.ContainerFilter(state=cri.ContainerStateValue(state=cri.CONTAINER_RUNNING))
    assert [item.id for item in views.filter_containers(items, by_id)] == ["abc1"]
    assert [item.id for item in views.filter_containers(items, running)] == ["def2"]
    assert views.filter_containers(items, cri.ContainerFilter(label_selector={"app": "y"})) == []


def test_network_counters() -> None:
    text = "Inter-|\n face |\n  eth0: 10 1 2 0 0 0 0 0 20 1 3 0 0 0 0 0\n"
    assert parse_network(text) == [("eth0", 10, 2, 20, 3)]


def test_the_mount_a_path_is_on() -> None:
    info = "1 0 8:1 / / rw shared:1 - ext4 x rw\n2 1 8:2 / /data rw master:4 - ext4 y rw\n"
    assert mount_of("/data/x", info) == ("/data", ["master:4"])
    assert mount_of("/database", info) == ("/", ["shared:1"])


def test_declared_volumes_are_filled_from_the_image(tmp_path: Path) -> None:
    layer = tmp_path / "layer"
    write_tree(layer, {"data/seed": "s"})
    mount = mount_pb2.Mount(type="bind", source=str(layer))
    config = cri.ContainerConfig()
    config.mounts.add(container_path="/mounted")
    process: dict[str, object] = {"Volumes": {"/data": {}, "/mounted": {}}}
    (bind,) = image_volumes(str(tmp_path / "own"), process, config, [mount])
    assert bind.target == "/data"
    assert (Path(bind.source) / "seed").read_text() == "s"


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="runs the machine code for x86_64")
def test_the_pause_program_waits_and_ends_on_a_signal(tmp_path: Path) -> None:
    path = tmp_path / "pause"
    path.write_bytes(pause_program("x86_64"))
    path.chmod(0o755)
    with subprocess.Popen([str(path)]) as process:
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.05)
        while not waits_for_signals(process.pid):  # until then it ends as any program
            time.sleep(0.005)
        process.terminate()
        assert process.wait(30) == 0


def waits_for_signals(pid: int) -> bool:
    """Its first act is to ignore SIGCHLD, and the only place where it sleeps is the wait for signals."""
    lines = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return lines["State"].split()[0] == "S" and bool(int(lines["SigIgn"], 16) >> (signal.SIGCHLD - 1) & 1)


def test_the_same_files_give_the_same_image() -> None:
    files = [File("/a/b", b"x", 0o755), File("/a/l", link="b")]
    first, second = (build_image("n:1", [list(order)], {}, "amd64") for order in (files, reversed(files)))
    assert first.manifest_digest == second.manifest_digest
    assert digest_of(layer_tar(files)) in first.blobs
    assert b"oci-layout" in oci_archive(first)


def test_an_index_is_searched_for_the_machine() -> None:
    entries = [
        {"digest": "a", "platform": {"os": "linux", "architecture": "arm64"}},
        {"digest": "b", "platform": {"os": "windows", "architecture": "amd64"}},
        {"digest": "c", "platform": {"os": "linux", "architecture": "amd64"}},
    ]
    assert choose_platform({"manifests": entries}, "amd64")["digest"] == "c"
    with pytest.raises(ValueError, match="no variant"):
        choose_platform({"manifests": entries[:2]}, "amd64")


def test_a_recipe_becomes_layers_and_config(tmp_path: Path) -> None:
    write_tree(tmp_path, {"app/run": "#!", "one": "1"})
    text = 'FROM base:1\nENV A=1 B="two words"\nWORKDIR /w\nCOPY app ./bin/\nCOPY one two/\n'
    text += 'EXPOSE 80\nENTRYPOINT ["/w/bin/run"]\n'
    recipe = read_recipe(text, str(tmp_path))
    paths = [entry.path for layer in recipe.layers for entry in layer if entry.content is not None]
    assert paths == ["/w/bin/run", "/w/two/one"]
    config = merged_config({"Cmd": ["old"], "Env": ["A=0", "Z=9"]}, recipe)
    assert config["Env"] == ["A=1", "Z=9", "B=two words"]
    assert config["Entrypoint"] == ["/w/bin/run"]
    assert "Cmd" not in config
    assert config["ExposedPorts"] == {"80/tcp": {}}


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("COPY a b", "before FROM"),
        ("", "no FROM"),
        ("FROM scratch\nRUN make", "skiff image load"),
        ("FROM scratch\nCOPY ../secret /", "outside"),
        ("FROM scratch\nCOPY none /", "is not in"),
        ("FROM a\nFROM b", "stages"),
    ],
)
def test_recipes_that_cannot_be_built_say_why(tmp_path: Path, text: str, complaint: str) -> None:
    with pytest.raises(RecipeError, match=complaint):
        read_recipe(text, str(tmp_path))


def test_containerds_configuration() -> None:
    plain = containerd_config("/r", "/s", "/c.sock")
    assert "io.containerd.grpc.v1.cri" in plain.splitlines()[3]
    own = containerd_config("/r", "/s", "/c.sock", cri_plugin=True)
    assert "restrict_oom_score_adj = true" in own
    assert '[plugins."io.containerd.grpc.v1.cri".cni]' in own
