"""The two CRI configurations: of a pod's sandbox and of one container. Pure: all they need is passed in.

Labels and annotations use upstream's keys, so that crictl and other tools group containers by pod, and so that the
kubelet recognizes its own after a restart.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from kubelet.containers.dns import Resolver
from kubelet.containers.expansion import expand
from kubelet.containers.resources import container_resources, resources_text
from kubelet.containers.security import container_security, sandbox_security
from kubelet.pod import Container, Pod
from kubelet.sync.plan import container_hash
from skiff_pb.cri import runtime_pb2 as cri

POD_NAME = "io.kubernetes.pod.name"
POD_NAMESPACE = "io.kubernetes.pod.namespace"
POD_UID = "io.kubernetes.pod.uid"
CONTAINER_NAME = "io.kubernetes.container.name"
HASH = "io.kubernetes.container.hash"
RESOURCES = "skiff.container.resources"
RESTART_COUNT = "io.kubernetes.container.restartCount"
MESSAGE_PATH = "io.kubernetes.container.terminationMessagePath"
MESSAGE_POLICY = "io.kubernetes.container.terminationMessagePolicy"
MESSAGE_HOST_PATH = "skiff.container.terminationMessageHostPath"
POD_GRACE = "io.kubernetes.pod.terminationGracePeriod"
PORTS = "io.kubernetes.container.ports"

_PROTOCOLS = {"TCP": cri.TCP, "UDP": cri.UDP, "SCTP": cri.SCTP}
_PROPAGATION = {
    None: cri.PROPAGATION_PRIVATE,
    "None": cri.PROPAGATION_PRIVATE,
    "HostToContainer": cri.PROPAGATION_HOST_TO_CONTAINER,
    "Bidirectional": cri.PROPAGATION_BIDIRECTIONAL,
}


@dataclass(frozen=True, slots=True)
class HostMount:
    """With `image` (its id) the runtime mounts that image, from `image_path` on, and there is no path on the host."""

    container_path: str
    host_path: str
    readonly: bool = False
    propagation: str | None = None
    image: str = ""
    image_path: str = ""


def log_directory(root: str, pod: Pod) -> str:
    return f"{root}/{pod.metadata.namespace}_{pod.metadata.name}_{pod.uid}"


def log_path(container: str, attempt: int) -> str:
    return f"{container}/{attempt}.log"


def sandbox_config(
    pod: Pod, *, attempt: int, hostname: str, resolver: Resolver, log_dir: str, cgroup_parent: str
) -> cri.PodSandboxConfig:
    meta = pod.metadata
    linux = cri.LinuxPodSandboxConfig(cgroup_parent=cgroup_parent, security_context=sandbox_security(pod))
    for sysctl in pod.spec.security_context.sysctls or ():
        linux.sysctls[sysctl.name] = sysctl.value
    config = cri.PodSandboxConfig(
        metadata=cri.PodSandboxMetadata(name=meta.name, namespace=meta.namespace, uid=meta.uid, attempt=attempt),
        hostname="" if pod.spec.host_network else hostname,
        log_directory=log_dir,
        dns_config=cri.DNSConfig(servers=resolver.servers, searches=resolver.searches, options=resolver.options),
        labels={**(meta.labels or {}), POD_NAME: meta.name, POD_NAMESPACE: meta.namespace, POD_UID: meta.uid},
        annotations=meta.annotations or {},
        linux=linux,
    )
    if not pod.spec.host_network:
        for container in [*(pod.spec.init_containers or ()), *pod.spec.containers]:
            for port in container.ports or ():
                config.port_mappings.add(
                    protocol=_PROTOCOLS[port.protocol],
                    container_port=port.container_port,
                    host_port=port.host_port,
                    host_ip=port.host_ip,
                )
    return config


def container_config(
    pod: Pod,
    container: Container,
    *,
    attempt: int,
    image_id: str,
    environment: Mapping[str, str],
    mounts: Sequence[HostMount],
    node_memory: int,
    message_host_path: str = "",
    image_user: str = "",
    image_uid: int | None = None,
    target_id: str = "",
) -> cri.ContainerConfig:
    meta = pod.metadata
    config = cri.ContainerConfig(
        metadata=cri.ContainerMetadata(name=container.name, attempt=attempt),
        image=cri.ImageSpec(image=image_id, user_specified_image=container.image),
        command=[expand(word, environment) for word in container.command or ()],
        args=[expand(word, environment) for word in container.args or ()],
        working_dir=container.working_dir,
        envs=[cri.KeyValue(key=key, value=value.encode()) for key, value in environment.items()],
        labels={
            POD_NAME: meta.name,
            POD_NAMESPACE: meta.namespace,
            POD_UID: meta.uid,
            CONTAINER_NAME: container.name,
        },
        annotations={
            HASH: container_hash(container),
            RESOURCES: resources_text(container),
            RESTART_COUNT: str(attempt),
            MESSAGE_PATH: container.termination_message_path,
            MESSAGE_POLICY: container.termination_message_policy,
            MESSAGE_HOST_PATH: message_host_path,
            POD_GRACE: str(pod.spec.termination_grace_period_seconds),
        },
        log_path=log_path(container.name, attempt),
        stdin=container.stdin,
        stdin_once=container.stdin_once,
        tty=container.tty,
        linux=cri.LinuxContainerConfig(
            resources=container_resources(pod, container, node_memory),
            security_context=container_security(
                pod, container, image_user=image_user, image_uid=image_uid, target_id=target_id
            ),
        ),
    )
    if container.ports:
        listed = [{"containerPort": p.container_port, "protocol": p.protocol, "name": p.name} for p in container.ports]
        config.annotations[PORTS] = json.dumps(listed)
    if container.lifecycle is not None and container.lifecycle.stop_signal:
        config.stop_signal = getattr(cri, container.lifecycle.stop_signal)
    for mount in mounts:
        config.mounts.add(
            container_path=mount.container_path,
            host_path=mount.host_path,
            readonly=mount.readonly,
            propagation=_PROPAGATION[mount.propagation],
            image=cri.ImageSpec(image=mount.image) if mount.image else None,
            image_sub_path=mount.image_path,
        )
    return config
