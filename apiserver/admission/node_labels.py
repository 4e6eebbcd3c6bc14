"""What a kubelet may write on its Node: labels that describe it, not those by which others steer work to nodes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from apimachinery.fields import quote
from apiserver.admission.chain import refuse
from apiserver.ports import AdmissionRequest

RESTRICTED = "node-restriction.kubernetes.io"
DESCRIBING = frozenset(
    {
        "kubernetes.io/hostname",
        "topology.kubernetes.io/zone",
        "topology.kubernetes.io/region",
        "failure-domain.beta.kubernetes.io/zone",
        "failure-domain.beta.kubernetes.io/region",
        "beta.kubernetes.io/instance-type",
        "node.kubernetes.io/instance-type",
        "kubernetes.io/os",
        "kubernetes.io/arch",
        "beta.kubernetes.io/os",
        "beta.kubernetes.io/arch",
    }
)
OWN_NAMESPACES = ("kubelet.kubernetes.io", "node.kubernetes.io")


def check_create(node: str, request: AdmissionRequest) -> None:
    assert request.obj is not None
    if (request.obj.get("spec") or {}).get("configSource") is not None:
        raise refuse(request, f"node {quote(node)} is not allowed to create pods with a non-nil configSource")
    refused = forbidden_labels(request.obj["metadata"].get("labels") or {})
    if refused:
        shown = ", ".join(refused)
        raise refuse(request, f"node {quote(node)} is not allowed to set the following labels: {shown}")


def check_update(node: str, request: AdmissionRequest) -> None:
    assert request.obj is not None
    assert request.old is not None
    new, old = request.obj, request.old
    source = (new.get("spec") or {}).get("configSource")
    if source is not None and source != (old.get("spec") or {}).get("configSource"):
        raise refuse(request, f"node {quote(node)} is not allowed to update configSource to a new non-nil configSource")
    if ((new.get("spec") or {}).get("taints") or []) != ((old.get("spec") or {}).get("taints") or []):
        raise refuse(request, f"node {quote(node)} is not allowed to modify taints")
    if (new["metadata"].get("ownerReferences") or []) != (old["metadata"].get("ownerReferences") or []):
        raise refuse(request, f"node {quote(node)} is not allowed to modify ownerReferences")
    changed = changed_labels(new["metadata"].get("labels") or {}, old["metadata"].get("labels") or {})
    refused = forbidden_labels(changed)
    if refused:
        raise refuse(request, f"is not allowed to modify labels: {', '.join(refused)}")


def changed_labels(new: Mapping[str, str], old: Mapping[str, str]) -> set[str]:
    return {key for key in {*new, *old} if new.get(key) != old.get(key)}


def forbidden_labels(keys: Iterable[str]) -> list[str]:
    """Those among `keys` that a kubelet may not set or change, sorted."""
    return sorted(key for key in keys if _within(key, RESTRICTED) or (_is_kubernetes(key) and not _is_kubelets(key)))


def _namespace(key: str) -> str:
    return key.partition("/")[0] if "/" in key else ""


def _within(key: str, domain: str) -> bool:
    namespace = _namespace(key)
    return namespace == domain or namespace.endswith(f".{domain}")


def _is_kubernetes(key: str) -> bool:
    return _within(key, "kubernetes.io") or _within(key, "k8s.io")


def _is_kubelets(key: str) -> bool:
    return key in DESCRIBING or any(_within(key, domain) for domain in OWN_NAMESPACES)
