"""OCI specs as functions of CRI configs: what containerd would be told, for hosts with cgroup v1 and v2."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from kubelet.cri_shim.oci_resources import HostTraits, cgroups_path, linux_resources, oom_score_adj
from kubelet.cri_shim.oci_security import ALL_CAPABILITIES
from kubelet.cri_shim.oci_spec import (
    BindMount,
    ContainerInputs,
    HostDevice,
    ResolvedUser,
    container_spec,
    environment,
    process_args,
    sandbox_spec,
)
from skiff_pb.cri import runtime_pb2 as cri

V1 = HostTraits(cgroup_version=1, capabilities=frozenset(ALL_CAPABILITIES))
V2 = replace(V1, cgroup_version=2)


def no_profile(reference: str) -> str:
    raise AssertionError(reference)


def pod_config() -> cri.PodSandboxConfig:
    config = cri.PodSandboxConfig(hostname="web-0")
    config.metadata.name, config.metadata.namespace, config.metadata.uid = "web-0", "shop", "u1"
    config.linux.cgroup_parent = "/kubepods/burstable/podu1"
    return config


def inputs(config: cri.ContainerConfig, **changes: Any) -> ContainerInputs:
    given = ContainerInputs(
        container_id="c1",
        sandbox_id="s1",
        config=config,
        sandbox_config=pod_config(),
        image_config={"Entrypoint": ["/entry"], "Cmd": ["arg"], "Env": ["A=image", "B=image"]},
        user=ResolvedUser(),
        sandbox_pid=42,
        netns_path="/run/netns/n1",
    )
    return replace(given, **changes)


def spec_of(config: cri.ContainerConfig, traits: HostTraits = V1, **changes: Any) -> dict[str, Any]:
    return container_spec(inputs(config, **changes), traits, no_profile)


def mount_at(spec: dict[str, Any], target: str) -> dict[str, Any]:
    found: dict[str, Any] = next(mount for mount in spec["mounts"] if mount["destination"] == target)
    return found


def namespaces(spec: dict[str, Any]) -> dict[str, str]:
    return {each["type"]: each.get("path", "") for each in spec["linux"]["namespaces"]}


def test_a_plain_containers_spec_on_cgroup_v1() -> None:
    config = cri.ContainerConfig()
    config.linux.resources.memory_limit_in_bytes = 1 << 20
    config.linux.resources.cpu_shares = 102
    spec = spec_of(config)
    assert spec["process"]["args"] == ["/entry", "arg"]
    assert spec["linux"]["cgroupsPath"] == "/kubepods/burstable/podu1/c1"
    assert spec["linux"]["resources"]["memory"] == {"limit": 1 << 20, "swap": 1 << 20}
    assert spec["linux"]["resources"]["cpu"] == {"shares": 102}
    assert spec["linux"]["resources"]["devices"] == [{"allow": False, "access": "rwm"}]
    assert namespaces(spec) == {
        "mount": "",
        "pid": "/proc/42/ns/pid",
        "ipc": "/proc/42/ns/ipc",
        "network": "/run/netns/n1",
        "uts": "/proc/42/ns/uts",
    }
    assert "seccomp" not in spec["linux"]
    assert mount_at(spec, "/sys/fs/cgroup")["options"][-1] == "ro"


def test_cgroup_v2_adds_a_namespace_and_takes_unified_keys() -> None:
    config = cri.ContainerConfig()
    config.linux.resources.unified["memory.high"] = "900"
    assert "cgroup" in namespaces(spec_of(config, V2))
    assert spec_of(config, V2)["linux"]["resources"]["unified"] == {"memory.high": "900"}
    assert "unified" not in spec_of(config, V1)["linux"]["resources"]
    config.linux.security_context.privileged = True
    assert "cgroup" not in namespaces(spec_of(config, V2))


def test_systemd_is_given_slice_and_scope() -> None:
    traits = replace(V2, systemd_cgroup=True)
    parent = "/kubepods.slice/kubepods-pod1.slice"
    assert cgroups_path(parent, "c1", traits) == "kubepods-pod1.slice:cri-skiff:c1"


def test_what_the_kernel_would_refuse_is_not_asked_for() -> None:
    bound = replace(V1, oom_score_floor=0, capabilities=frozenset(ALL_CAPABILITIES) - {"CAP_SYS_RESOURCE"})
    assert oom_score_adj(-998, bound) == 0
    assert oom_score_adj(1000, bound) == 1000
    assert oom_score_adj(-998, V1) == -998
    config = cri.ContainerConfig()
    config.linux.security_context.privileged = True
    caps = spec_of(config, bound)["process"]["capabilities"]["bounding"]
    assert "CAP_SYS_ADMIN" in caps
    assert "CAP_SYS_RESOURCE" not in caps


def test_hugepages_and_swap_follow_what_the_host_counts() -> None:
    resources = cri.LinuxContainerResources(memory_limit_in_bytes=100, memory_swap_limit_in_bytes=150)
    resources.hugepage_limits.add(page_size="2MB", limit=4 << 20)
    assert linux_resources(resources, V1)["hugepageLimits"] == [{"pageSize": "2MB", "limit": 4 << 20}]
    assert linux_resources(resources, V1)["memory"] == {"limit": 100, "swap": 150}
    bare = replace(V1, swap_accounting=False, hugetlb=False)
    assert linux_resources(resources, bare) == {"memory": {"limit": 100}}


@pytest.mark.parametrize(
    ("command", "args", "expected"),
    [
        ([], [], ["/entry", "arg"]),
        ([], ["x"], ["/entry", "x"]),
        (["/own"], [], ["/own"]),
        (["/own"], ["x"], ["/own", "x"]),
    ],
)
def test_command_and_args_replace_entrypoint_and_cmd(command: list[str], args: list[str], expected: list[str]) -> None:
    image = {"Entrypoint": ["/entry"], "Cmd": ["arg"]}
    assert process_args(cri.ContainerConfig(command=command, args=args), image) == expected


def test_a_container_without_any_command_is_refused() -> None:
    with pytest.raises(ValueError, match="no command is given"):
        spec_of(cri.ContainerConfig(), image_config={})


def test_the_pods_environment_wins_over_the_images() -> None:
    config = cri.ContainerConfig(tty=True)
    config.envs.add(key="A", value=b"pod")
    entries = environment(config, {"Env": ["A=image", "PATH=/image/bin"]}, "web-0")
    assert "A=pod" in entries
    assert "PATH=/image/bin" in entries
    assert {"HOSTNAME=web-0", "TERM=xterm"} <= set(entries)


def test_capabilities_of_docker_with_additions_and_drops() -> None:
    config = cri.ContainerConfig()
    capabilities = config.linux.security_context.capabilities
    capabilities.add_capabilities.extend(["NET_ADMIN", "sys_time"])
    capabilities.drop_capabilities.append("KILL")
    caps = spec_of(config)["process"]["capabilities"]
    assert {"CAP_NET_ADMIN", "CAP_SYS_TIME", "CAP_CHOWN"} <= set(caps["bounding"])
    assert "CAP_KILL" not in caps["bounding"]
    assert caps["inheritable"] == []


def test_privileged_opens_devices_paths_and_system_calls() -> None:
    config = cri.ContainerConfig()
    context = config.linux.security_context
    context.privileged = True
    context.masked_paths.append("/proc/kcore")
    context.seccomp.profile_type = cri.SecurityProfile.RuntimeDefault
    spec = spec_of(config, host_devices=[HostDevice("/dev/fuse", "c", 10, 229)])
    assert "seccomp" not in spec["linux"]
    assert "maskedPaths" not in spec["linux"]
    assert spec["linux"]["resources"]["devices"] == [{"allow": True, "access": "rwm"}]
    assert [device["path"] for device in spec["linux"]["devices"]] == ["/dev/fuse"]
    assert mount_at(spec, "/sys")["options"][-1] == "rw"
    assert set(spec["process"]["capabilities"]["effective"]) == set(ALL_CAPABILITIES)


def test_a_device_is_made_and_allowed_with_its_permissions() -> None:
    spec = spec_of(cri.ContainerConfig(), devices=[(HostDevice("/dev/full", "c", 1, 7), "/dev/mine", "r")])
    assert spec["linux"]["devices"][0]["path"] == "/dev/mine"
    rule = {"allow": True, "type": "c", "major": 1, "minor": 7, "access": "r"}
    assert rule in spec["linux"]["resources"]["devices"]


def test_the_default_profile_and_no_new_privileges() -> None:
    config = cri.ContainerConfig()
    context = config.linux.security_context
    context.no_new_privs = True
    context.seccomp.profile_type = cri.SecurityProfile.RuntimeDefault
    spec = spec_of(config)
    assert spec["process"]["noNewPrivileges"] is True
    assert spec["linux"]["seccomp"]["defaultAction"] == "SCMP_ACT_ERRNO"
    named = {name for rule in spec["linux"]["seccomp"]["syscalls"] for name in rule["names"]}
    assert {"read", "openat2", "clone3"} <= named
    assert "mount" not in named
    context.seccomp.profile_type = cri.SecurityProfile.Unconfined
    assert "seccomp" not in spec_of(config)["linux"]


def test_a_profile_from_a_file() -> None:
    config = cri.ContainerConfig()
    config.linux.security_context.seccomp.profile_type = cri.SecurityProfile.Localhost
    config.linux.security_context.seccomp.localhost_ref = "/profiles/mine.json"
    read = {"/profiles/mine.json": '{"defaultAction":"SCMP_ACT_LOG"}'}
    spec = container_spec(inputs(config), V1, read.__getitem__)
    assert spec["linux"]["seccomp"] == {"defaultAction": "SCMP_ACT_LOG"}


def test_mounts_replace_the_shims_own_and_come_parents_first() -> None:
    config = cri.ContainerConfig()
    config.mounts.add(container_path="/data/deep/er", host_path="/h3")
    config.mounts.add(container_path="/data", host_path="/h1", readonly=True)
    config.mounts.add(container_path="/etc/hosts", host_path="/kubelet/hosts")
    spec = spec_of(config, binds=[BindMount("/shim/hosts", "/etc/hosts"), BindMount("/shim/shm", "/dev/shm")])
    targets = [mount["destination"] for mount in spec["mounts"]]
    assert targets.index("/data") < targets.index("/data/deep/er")
    assert targets.count("/etc/hosts") == 1
    assert mount_at(spec, "/etc/hosts")["source"] == "/kubelet/hosts"
    assert mount_at(spec, "/data")["options"] == ["rbind", "rprivate", "ro"]
    assert mount_at(spec, "/dev/shm")["source"] == "/shim/shm"


def test_propagation_reaches_the_root() -> None:
    config = cri.ContainerConfig()
    config.mounts.add(container_path="/a", host_path="/a", propagation=cri.PROPAGATION_HOST_TO_CONTAINER)
    assert spec_of(config)["linux"]["rootfsPropagation"] == "rslave"
    config.mounts.add(container_path="/b", host_path="/b", propagation=cri.PROPAGATION_BIDIRECTIONAL)
    spec = spec_of(config)
    assert spec["linux"]["rootfsPropagation"] == "rshared"
    assert "rshared" in mount_at(spec, "/b")["options"]


def test_recursive_read_only_needs_read_only() -> None:
    config = cri.ContainerConfig()
    mount = config.mounts.add(container_path="/a", host_path="/a", recursive_read_only=True)
    with pytest.raises(ValueError, match="needs readonly"):
        spec_of(config)
    mount.readonly = True
    assert "rro" in mount_at(spec_of(config), "/a")["options"]


@pytest.mark.parametrize("mode", [cri.CONTAINER, cri.NODE, cri.TARGET])
def test_process_namespaces(mode: cri.NamespaceMode) -> None:
    config = cri.ContainerConfig()
    config.linux.security_context.namespace_options.pid = mode
    found = namespaces(spec_of(config, target_pid=77))
    expected = {cri.CONTAINER: "", cri.NODE: None, cri.TARGET: "/proc/77/ns/pid"}
    assert found.get("pid") == expected[mode]


def test_the_hosts_network_means_its_name_too() -> None:
    config = cri.ContainerConfig()
    config.linux.security_context.namespace_options.network = cri.NODE
    found = namespaces(spec_of(config))
    assert "network" not in found
    assert "uts" not in found


def test_a_sandbox_runs_pause_and_nothing_else() -> None:
    config = pod_config()
    config.linux.sysctls["net.core.somaxconn"] = "1024"
    spec = sandbox_spec("s1", config, "/run/netns/n1", V1, no_profile)
    assert spec["process"]["args"] == ["/pause"]
    assert spec["process"]["user"] == {"uid": 65535, "gid": 65535}
    assert spec["process"]["noNewPrivileges"] is True
    assert spec["root"]["readonly"] is True
    assert spec["hostname"] == "web-0"
    assert spec["linux"]["sysctl"]["net.core.somaxconn"] == "1024"
    assert namespaces(spec)["network"] == "/run/netns/n1"
    assert spec["annotations"]["io.kubernetes.cri.container-type"] == "sandbox"


def test_a_sandbox_on_the_hosts_network_has_no_name_of_its_own() -> None:
    config = pod_config()
    config.linux.security_context.namespace_options.network = cri.NODE
    spec = sandbox_spec("s1", config, "", V1, no_profile)
    assert "hostname" not in spec
    assert not {"network", "uts"} & namespaces(spec).keys()
    assert "net.ipv4.ping_group_range" not in spec["linux"]["sysctl"]
