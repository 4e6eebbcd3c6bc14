"""ConfigMap kube-root-ca.crt in every namespace: what pods verify the apiserver with."""

from __future__ import annotations

from collections.abc import Callable

from controller_manager.views import ConfigMap, Namespace
from kubeclient.informer import Informers
from kubeclient.plan import NOTHING, Create, Patch, Plan
from kubeclient.rest import MERGE

NAME = "kube-root-ca.crt"
DESCRIPTION = "kubernetes.io/description"
TEXT = (
    "Contains a CA bundle that can be used to verify the kube-apiserver when using internal endpoints such as the "
    "internal service IP or kubernetes.default.svc. No other usage is guaranteed across distributions of Kubernetes "
    "clusters."
)


class RootCaPublisher:
    name = "root-ca-certificate-publisher"

    def __init__(self, informers: Informers, root_ca: str) -> None:
        self._root_ca = root_ca
        self._namespaces = informers.of("/api/v1/namespaces", Namespace)
        self._maps = informers.of("/api/v1/configmaps", ConfigMap)

    def watch(self, enqueue: Callable[[str], None]) -> None:
        self._namespaces.add_key_handler(enqueue)

        def on_map(old: ConfigMap | None, new: ConfigMap | None) -> None:
            found = new or old
            if found is not None and found.metadata.name == NAME:
                enqueue(found.metadata.namespace)

        self._maps.add_handler(on_map)

    def reconcile(self, key: str, now: float) -> Plan:
        namespace = self._namespaces.get(key)
        if namespace is None or namespace.metadata.deletionTimestamp is not None:
            return NOTHING
        data = {"ca.crt": self._root_ca}
        found = self._maps.get(f"{key}/{NAME}")
        path = f"/api/v1/namespaces/{key}/configmaps"
        meta = {"name": NAME, "namespace": key, "annotations": {DESCRIPTION: TEXT}}
        if found is None:
            body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": data}
            return Plan([[Create(path, body, exists_is_fine=True)]])
        if found.data == data:
            return NOTHING
        surplus: dict[str, str | None] = dict.fromkeys(found.data, None)
        change = {"metadata": {"annotations": {DESCRIPTION: TEXT}}, "data": {**surplus, **data}}
        return Plan([[Patch(f"{path}/{NAME}", change, MERGE)]])
