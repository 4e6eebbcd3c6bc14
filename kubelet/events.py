"""The kubelet's events: one port, and references that name a container inside its pod as upstream does."""

from typing import Any, Protocol

from kubelet.pod import Container, Pod

NORMAL = "Normal"
WARNING = "Warning"


class Events(Protocol):
    def event(self, reference: dict[str, Any], kind: str, reason: str, message: str) -> None:
        """Records without waiting; the same event again raises the count of the first."""
        ...


def pod_reference(pod: Pod, container: Container | None = None) -> dict[str, Any]:
    meta = pod.metadata
    reference = {
        "kind": "Pod",
        "namespace": meta.namespace,
        "name": meta.name,
        "uid": meta.uid,
        "apiVersion": "v1",
        "resourceVersion": meta.resource_version,
    }
    if container is not None:
        reference["fieldPath"] = f"{_list_name(pod, container)}{{{container.name}}}"
    return reference


def _list_name(pod: Pod, container: Container) -> str:
    names = {c.name: "spec.initContainers" for c in pod.spec.init_containers or ()}
    names |= {c.name: "spec.ephemeralContainers" for c in pod.spec.ephemeral_containers or ()}
    return names.get(container.name, "spec.containers")


def node_reference(name: str) -> dict[str, Any]:
    """Node events carry the node's name as uid: clients (kubectl describe node) select them by it."""
    return {"kind": "Node", "name": name, "uid": name, "namespace": "", "apiVersion": "v1"}
