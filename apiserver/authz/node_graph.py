"""Which objects are related to which nodes: through the pods on them, and volumes through their claims."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable

from apimachinery import resources
from apiserver.authz import references
from apiserver.authz.references import Reference
from apiserver.ports import JSON, Objects

_SINGLE = {
    ("storage.k8s.io", "volumeattachments"): ("spec", "nodeName"),
    ("resource.k8s.io", "resourceslices"): ("spec", "nodeName"),
    ("certificates.k8s.io", "podcertificaterequests"): ("spec", "nodeName"),
}


class NodeGraph:
    """Counts, for each object that a pod refers to, the pods of each node that do.

    `related` answers in constant time for what pods name, and through claims for volumes and their secrets.
    """

    def __init__(self, objects: Objects) -> None:
        self._nodes: dict[Reference, Counter[str]] = {}
        self._claim_of_volume: dict[str, tuple[str, str]] = {}
        self._secrets_of_volume: dict[str, set[tuple[str, str]]] = {}
        self._volumes_of_secret: dict[tuple[str, str], set[str]] = {}
        for plural, callback in (("pods", self._pod_changed), ("persistentvolumes", self._volume_changed)):
            info = resources.find("", "v1", plural)
            assert info is not None
            objects.on_change(info, callback)
        for group, plural in _SINGLE:
            for version in ("v1", "v1beta1"):
                info = resources.find(group, version, plural)
                if info is not None:
                    objects.on_change(info, self._single_changed(group, plural))
                    break

    def related(self, node: str, kind: str, namespace: str, name: str) -> bool:
        if self._counted(node, kind, namespace, name):
            return True
        if kind == "persistentvolumes":
            claim = self._claim_of_volume.get(name)
            return claim is not None and self._counted(node, "persistentvolumeclaims", *claim)
        if kind == "secrets":
            volumes = self._volumes_of_secret.get((namespace, name), ())
            return any(self.related(node, "persistentvolumes", "", volume) for volume in volumes)
        return False

    def _counted(self, node: str, kind: str, namespace: str, name: str) -> bool:
        return node in self._nodes.get((kind, namespace, name), ())

    def _pod_changed(self, old: JSON | None, new: JSON | None) -> None:
        before, node_before = _pod_references(old)
        after, node_after = _pod_references(new)
        if node_before == node_after and before == after:
            return
        self._remove(before, node_before)
        self._add(after, node_after)

    def _add(self, found: Iterable[Reference], node: str) -> None:
        for reference in found:
            self._nodes.setdefault(reference, Counter())[node] += 1

    def _remove(self, found: Iterable[Reference], node: str) -> None:
        for reference in found:
            counts = self._nodes.get(reference)
            if counts is None:
                continue
            counts[node] -= 1
            if counts[node] <= 0:
                del counts[node]
            if not counts:
                del self._nodes[reference]

    def _volume_changed(self, old: JSON | None, new: JSON | None) -> None:
        present = new or old
        assert present is not None
        name = present["metadata"]["name"]
        for secret in self._secrets_of_volume.pop(name, set()):
            volumes = self._volumes_of_secret[secret]
            volumes.discard(name)
            if not volumes:
                del self._volumes_of_secret[secret]
        self._claim_of_volume.pop(name, None)
        claim, secrets = references.of_volume(new) if new is not None else (None, set())
        if claim is None:
            return
        self._claim_of_volume[name] = claim
        if secrets:
            self._secrets_of_volume[name] = secrets
            for secret in secrets:
                self._volumes_of_secret.setdefault(secret, set()).add(name)

    def _single_changed(self, group: str, plural: str) -> Callable[[JSON | None, JSON | None], None]:
        outer, inner = _SINGLE[group, plural]

        def changed(old: JSON | None, new: JSON | None) -> None:
            for obj, change in ((old, self._remove), (new, self._add)):
                node = ((obj or {}).get(outer) or {}).get(inner)
                if obj is not None and node:
                    metadata = obj["metadata"]
                    change([(plural, metadata.get("namespace", ""), metadata["name"])], node)

        return changed


def _pod_references(pod: JSON | None) -> tuple[set[Reference], str]:
    """Nothing before the pod has a node. The pod itself is among them."""
    node = ((pod or {}).get("spec") or {}).get("nodeName") or ""
    if pod is None or not node:
        return set(), ""
    metadata = pod["metadata"]
    return references.of_pod(pod) | {("pods", metadata["namespace"], metadata["name"])}, node
