"""Ports of a pod: which it claims on its node, and which number a Service's target port means."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple


class HostPort(NamedTuple):
    """A port a pod claims on its node; address `""` means every address."""

    address: str
    protocol: str
    port: int


def _containers(spec: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield from spec.get("containers") or ()
    yield from (c for c in spec.get("initContainers") or () if c.get("restartPolicy") == "Always")


def host_ports(spec: Mapping[str, Any]) -> list[HostPort]:
    """The node's ports this pod claims while it runs."""
    return [
        HostPort(port.get("hostIP") or "", port.get("protocol") or "TCP", port["hostPort"])
        for container in _containers(spec)
        for port in container.get("ports") or ()
        if port.get("hostPort")
    ]


def target_port(spec: Mapping[str, Any], target: int | str, protocol: str) -> int | None:
    """The number behind a Service's target port; None where a name matches no container port of that protocol."""
    if isinstance(target, int):
        return target
    for container in _containers(spec):
        for port in container.get("ports") or ():
            if port.get("name") == target and (port.get("protocol") or "TCP") == protocol:
                return int(port["containerPort"])
    return None
