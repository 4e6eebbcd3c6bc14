"""The downward API: values of the pod and of its containers' resources, for env variables and files alike."""

import re
from fractions import Fraction

from kubelet.containers.amounts import ceil_div, exact, millis, of, whole
from kubelet.containers.facts import ConfigError, NodeFacts
from kubelet.pod import Amount, Container, FieldRef, Pod, ResourceFieldRef

_SUBSCRIPT = re.compile(r"^metadata\.(annotations|labels)\['(.+)'\]$")


def field_value(pod: Pod, ref: FieldRef, node: NodeFacts, pod_ips: tuple[str, ...]) -> str:
    path, meta = ref.field_path, pod.metadata
    subscript = _SUBSCRIPT.match(path)
    if subscript:
        table = meta.labels if subscript[1] == "labels" else meta.annotations
        return (table or {}).get(subscript[2], "")
    if path in ("metadata.annotations", "metadata.labels"):
        table = meta.labels if path.endswith("labels") else meta.annotations
        return "\n".join(f"{key}={_quoted(value)}" for key, value in sorted((table or {}).items()))
    ips = node.ips if pod.spec.host_network else pod_ips
    simple = {
        "metadata.name": meta.name,
        "metadata.namespace": meta.namespace,
        "metadata.uid": meta.uid,
        "spec.nodeName": pod.spec.node_name or node.name,
        "spec.serviceAccountName": pod.spec.service_account_name,
        "status.hostIP": node.ips[0] if node.ips else "",
        "status.hostIPs": ",".join(node.ips),
        "status.podIP": ips[0] if ips else "",
        "status.podIPs": ",".join(ips),
    }
    if path not in simple:
        raise ConfigError(f"unsupported fieldPath: {path}")
    return simple[path]


def _quoted(value: str) -> str:
    """The escaping Go's %q gives, for the characters that annotations carry in practice."""
    body = (
        value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\t", "\\t").replace("\r", "\\r")
    )
    return f'"{body}"'


def resource_value(pod: Pod, container: Container, ref: ResourceFieldRef, node: NodeFacts) -> str:
    target = container
    if ref.container_name:
        named = pod.container(ref.container_name)
        if named is None:
            raise ConfigError(f"container {ref.container_name} not found")
        target = named
    kind, _, resource = ref.resource.partition(".")
    limits, requests = target.resources.limits, target.resources.requests
    divisor = exact(ref.divisor) if str(ref.divisor) not in ("", "0") else Fraction(1)
    amount = of(limits if kind == "limits" else requests, resource)
    if amount is None and kind == "limits":
        node_amounts: dict[str, Amount] = {
            "cpu": f"{node.cpu_millis}m",
            "memory": node.memory_bytes,
            "ephemeral-storage": node.storage_bytes,
        }
        amount = node_amounts.get(resource)
    if amount is None and kind == "requests":
        amount = 0
    if amount is None:
        raise ConfigError(f"unsupported container resource : {ref.resource}")
    value = Fraction(millis(amount), 1000) if resource == "cpu" else Fraction(whole(amount))
    return str(ceil_div(value, divisor))
