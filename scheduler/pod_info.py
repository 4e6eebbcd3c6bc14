"""A pod with what the plugins need of it, computed once when it enters the queue or the cache."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from scheduler import requests
from scheduler.views import Pod


@dataclass(frozen=True)
class PodInfo:
    pod: Pod

    @property
    def key(self) -> str:
        return self.pod.key

    @property
    def uid(self) -> str:
        return self.pod.metadata.uid

    @property
    def priority(self) -> int:
        return self.pod.spec.priority or 0

    @cached_property
    def requests(self) -> dict[str, int]:
        return requests.of_pod(self.pod)

    @cached_property
    def weighed(self) -> dict[str, int]:
        return requests.of_pod_for_scores(self.pod)

    @cached_property
    def claims(self) -> list[str]:
        """Keys of the PersistentVolumeClaims it names, those made for it alone included."""
        meta = self.pod.metadata
        names = []
        for volume in self.pod.spec.volumes:
            if volume.persistentVolumeClaim is not None:
                names.append(volume.persistentVolumeClaim.claimName)
            elif volume.ephemeral is not None:
                names.append(f"{meta.name}-{volume.name}")
        return [f"{meta.namespace}/{name}" for name in dict.fromkeys(names)]

    @cached_property
    def host_ports(self) -> frozenset[tuple[str, str, int]]:
        """(protocol, address, port) the pod takes on its node; address 0.0.0.0 conflicts with all."""
        spec = self.pod.spec
        return frozenset(
            (port.protocol, port.hostIP or "0.0.0.0", port.hostPort)
            for container in [*spec.containers, *spec.initContainers]
            for port in container.ports
            if port.hostPort
        )
