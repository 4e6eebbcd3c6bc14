"""May this pod run on this node? Asked once, before its first sandbox. Pure.

The scheduler has answered already for most pods; this is for those that were bound by hand, static ones, and races.
A refusal ends the pod: phase Failed, with upstream's reasons and messages.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import msgspec

from apimachinery.placement import NodeSelector, Taint, node_matches, tolerates
from apimachinery.podspec.resources import add, together
from kubelet.containers.amounts import ceil_div, exact
from kubelet.pod import Amount, Pod, Port

JSON = dict[str, Any]
SYSTEM_CRITICAL_PRIORITY = 2_000_000_000


@dataclass(frozen=True, slots=True)
class Refusal:
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class NodeOffer:
    """The node as admission sees it."""

    name: str
    labels: Mapping[str, str] = field(default_factory=dict)
    allocatable: Mapping[str, Amount] = field(default_factory=dict)
    taints: Sequence[JSON] = ()


def admit(pod: Pod, others: Iterable[Pod], node: NodeOffer) -> Refusal | None:
    """`others` are the pods admitted before that have not ended."""
    wanted_os = (pod.spec.node_selector or {}).get("kubernetes.io/os")
    if wanted_os is not None and wanted_os != node.labels.get("kubernetes.io/os", "linux"):
        return Refusal(
            "PodOSSelectorNodeLabelDoesNotMatch",
            "Failed to admit pod as the `kubernetes.io/os` label doesn't match node label",
        )
    if pod.spec.os is not None and pod.spec.os.name not in ("", "linux"):
        return Refusal("PodOSNotSupported", "Failed to admit pod as the OS field doesn't match node OS")
    others = tuple(others)
    return _resources(pod, others, node) or _affinity(pod, node) or _ports(pod, others) or _taints(pod, node)


def pod_requests(pod: Pod) -> dict[str, Fraction]:
    """What the pod takes from the node: containers and sidecars together, or the largest init step, plus overhead."""
    spec = pod.spec
    steps = [(_counted(c.resources.requests), c.is_sidecar) for c in spec.init_containers or ()]
    total = together([_counted(c.resources.requests) for c in spec.containers], steps)
    if spec.resources is not None:
        total.update(_counted(spec.resources.requests))
    add(total, _counted(spec.overhead))
    return total


def _counted(requests: Mapping[str, Amount] | None) -> dict[str, Fraction]:
    """The server has copied limits into requests where requests were missing."""
    return {name: exact(amount) for name, amount in (requests or {}).items()}


def _resources(pod: Pod, others: Iterable[Pod], node: NodeOffer) -> Refusal | None:
    used: dict[str, Fraction] = {}
    count = 0
    for other in others:
        count += 1
        add(used, pod_requests(other))
    capacity = int(exact(node.allocatable.get("pods", 110)))
    if count + 1 > capacity:
        return _insufficient("pods", Fraction(1), Fraction(count), Fraction(capacity))
    for name, wanted in pod_requests(pod).items():
        if wanted == 0 or name not in node.allocatable:
            continue
        have, taken = exact(node.allocatable[name]), used.get(name, Fraction(0))
        if wanted > have - taken:
            return _insufficient(name, wanted, taken, have)
    return None


def _insufficient(name: str, wanted: Fraction, used: Fraction, capacity: Fraction) -> Refusal:
    unit = Fraction(1, 1000) if name == "cpu" else Fraction(1)
    numbers = [ceil_div(amount, unit) for amount in (wanted, used, capacity)]
    return Refusal(
        f"OutOf{name}",
        f"Node didn't have enough resource: {name}, requested: {numbers[0]}, "
        f"used: {numbers[1]}, capacity: {numbers[2]}",
    )


def _affinity(pod: Pod, node: NodeOffer) -> Refusal | None:
    required = ((pod.spec.affinity or {}).get("nodeAffinity") or {}).get(
        "requiredDuringSchedulingIgnoredDuringExecution"
    )
    terms = None if required is None else msgspec.convert(required, NodeSelector).nodeSelectorTerms
    if node_matches(pod.spec.node_selector or {}, terms, node.name, node.labels):
        return None
    text = "Predicate NodeAffinity failed: node(s) didn't match Pod's node affinity/selector"
    return Refusal("NodeAffinity", text)


def _ports(pod: Pod, others: Iterable[Pod]) -> Refusal | None:
    """No two pods may have one port of the node; without an address a port is taken on all of them."""
    wanted = _host_ports(pod)
    for taken in [port for other in others for port in _host_ports(other)] if wanted else ():
        if any(_clash(port, taken) for port in wanted):
            text = "Predicate NodePorts failed: node(s) didn't have free ports for the requested pod ports"
            return Refusal("NodePorts", text)
    return None


def _host_ports(pod: Pod) -> list[Port]:
    lasting = [*(c for c in pod.spec.init_containers or () if c.is_sidecar), *pod.spec.containers]
    return [port for container in lasting for port in container.ports or () if port.host_port]


def _clash(one: Port, other: Port) -> bool:
    if (one.host_port, one.protocol) != (other.host_port, other.protocol):
        return False
    return one.host_ip == other.host_ip or any(port.host_ip in ("", "0.0.0.0") for port in (one, other))


def _taints(pod: Pod, node: NodeOffer) -> Refusal | None:
    """NoExecute alone counts here, and not for static pods, which belong to the node."""
    if pod.is_static:
        return None
    for taint in msgspec.convert(node.taints, list[Taint]):
        if taint.effect == "NoExecute" and not any(tolerates(t, taint) for t in pod.spec.tolerations or ()):
            text = "Predicate TaintToleration failed: node(s) had taints that the pod didn't tolerate"
            return Refusal("TaintToleration", text)
    return None
