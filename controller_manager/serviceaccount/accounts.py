"""A ServiceAccount `default` in every namespace, so that every pod has an identity."""

from __future__ import annotations

from collections.abc import Callable

from controller_manager.views import Namespace, ServiceAccount
from kubeclient.informer import Informers
from kubeclient.plan import NOTHING, Create, Plan


class ServiceAccountsController:
    name = "serviceaccount"

    def __init__(self, informers: Informers, names: tuple[str, ...] = ("default",)) -> None:
        self._names = names
        self._namespaces = informers.of("/api/v1/namespaces", Namespace)
        self._accounts = informers.of("/api/v1/serviceaccounts", ServiceAccount)

    def watch(self, enqueue: Callable[[str], None]) -> None:
        self._namespaces.add_key_handler(enqueue)
        self._accounts.add_handler(lambda old, new: enqueue(old.metadata.namespace) if old and new is None else None)

    def reconcile(self, key: str, now: float) -> Plan:
        namespace = self._namespaces.get(key)
        if namespace is None or namespace.metadata.deletionTimestamp is not None:
            return NOTHING
        missing = [name for name in self._names if self._accounts.get(f"{key}/{name}") is None]
        path = f"/api/v1/namespaces/{key}/serviceaccounts"
        account = {"apiVersion": "v1", "kind": "ServiceAccount"}
        return Plan(
            [
                [
                    Create(path, {**account, "metadata": {"name": n, "namespace": key}}, exists_is_fine=True)
                    for n in missing
                ]
            ]
        )
