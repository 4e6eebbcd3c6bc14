"""What a container's configuration needs to know besides its pod: the node, the services, the referenced objects."""

from collections.abc import Mapping
from dataclasses import dataclass, field


class ConfigError(Exception):
    """The container cannot be configured now (CreateContainerConfigError); the text becomes the waiting message."""


@dataclass(frozen=True, slots=True)
class ServicePort:
    port: int
    name: str = ""
    protocol: str = "TCP"


@dataclass(frozen=True, slots=True)
class ServiceFacts:
    name: str
    namespace: str
    cluster_ip: str
    ports: tuple[ServicePort, ...] = ()


@dataclass(frozen=True, slots=True)
class NodeFacts:
    name: str
    ips: tuple[str, ...] = ()
    cpu_millis: int = 1000
    memory_bytes: int = 1 << 30
    storage_bytes: int = 1 << 30


@dataclass(frozen=True, slots=True)
class ConfigObjects:
    """Data of the ConfigMaps and Secrets a pod names, None where the object does not exist."""

    config_maps: Mapping[str, Mapping[str, bytes] | None] = field(default_factory=dict)
    secrets: Mapping[str, Mapping[str, bytes] | None] = field(default_factory=dict)
