"""Recounts what each ResourceQuota limits: admission adds, this controller corrects and gives back what has gone.

Pods are followed; other kinds are looked at again after a while, or as soon as the quota itself changes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from apimachinery import quota
from apimachinery.errors import StatusError
from apimachinery.podspec.resources import Amounts, add
from apimachinery.quantity import canonical
from apimachinery.resources import RESOURCES, ResourceInfo
from controller_manager.views import AnyObject, Pod
from kubeclient import discovery
from kubeclient.discovery import Resource
from kubeclient.informer import Informers
from kubeclient.rest import RestClient

RECOUNT_SECONDS = 30.0
RECOUNT_PODS_SECONDS = 300.0


class ResourceQuotaController:
    name = "resourcequota"

    def __init__(self, informers: Informers, client: RestClient) -> None:
        self._client = client
        self._quotas = informers.of("/api/v1/resourcequotas", AnyObject)
        self._quotas.add_index("namespace", lambda one: [one.metadata.namespace])
        self._pods = informers.of("/api/v1/pods", Pod)

    def watch(self, enqueue: Callable[[str], None]) -> None:
        self._quotas.add_key_handler(enqueue)

        def on_pod(old: Pod | None, new: Pod | None) -> None:
            if old is None or (new is not None and new.is_terminal == old.is_terminal):
                return  # admission has counted new ones
            for one in self._quotas.indexed("namespace", old.metadata.namespace):
                enqueue(one.metadata.key)

        self._pods.add_handler(on_pod)

    async def sync(self, key: str, now: float) -> float | None:
        if self._quotas.get(key) is None:
            return None
        namespace, _, name = key.partition("/")
        path = f"/api/v1/namespaces/{namespace}/resourcequotas/{name}"
        try:
            stored = await self._client.get(path)
        except StatusError as error:
            if error.code == 404:
                return None
            raise
        hard = (stored.get("spec") or {}).get("hard") or {}
        kinds = limited_kinds(hard)
        if custom := uncounted(hard, kinds):
            kinds += [_described(one) for one in await discovery.resources(self._client) if _count_name(one) in custom]
        used: Amounts = {name: quota.ZERO for name in hard}
        for info in kinds:
            answer = await self._client.get(info.path(namespace))
            count(stored, info, answer.get("items") or (), used, now)
        status = {"hard": {name: canonical(amount) for name, amount in hard.items()}, "used": _texts(used)}
        if stored.get("status") != status:
            # With the resourceVersion that was read: what admission charged meanwhile must not be lost.
            await self._client.replace(f"{path}/status", {**stored, "status": status})
        only_pods = all(info.plural == "pods" for info in kinds)
        return RECOUNT_PODS_SECONDS if only_pods else RECOUNT_SECONDS


def limited_kinds(hard: Iterable[str]) -> list[ResourceInfo]:
    """The kinds that some name in `hard` is about, each in one version."""
    found: dict[tuple[str, str], ResourceInfo] = {}
    for info in RESOURCES:
        key = (info.group, info.plural)
        if info.namespaced and info.is_stored and any(quota.concerns(*key, name) for name in hard):
            found.setdefault(key, info)
    return list(found.values())


def uncounted(hard: Iterable[str], kinds: Iterable[ResourceInfo]) -> set[str]:
    """The names `count/<plural>.<group>` that are about none of these kinds: those of custom kinds, or of nothing."""
    known = {_count_name(info) for info in kinds}
    return {name for name in hard if name.startswith("count/") and "." in name} - known


def _count_name(one: ResourceInfo | Resource) -> str:
    return f"count/{one.plural}.{one.group}"


def _described(one: Resource) -> ResourceInfo:
    return ResourceInfo(one.group, one.version, one.kind, one.plural, namespaced=one.namespaced)


def count(
    stored: dict[str, Any], info: ResourceInfo, items: Iterable[dict[str, Any]], used: Amounts, now: float
) -> None:
    """Adds to `used` what the objects count, as far as the quota limits it."""
    limited = {"spec": stored.get("spec") or {}}
    for item in items:
        if quota.covers(limited, info.group, info.plural, item):
            counted = quota.usage(info.group, info.plural, item, now)
            add(used, {name: amount for name, amount in counted.items() if name in used})


def _texts(used: Amounts) -> dict[str, str]:
    return {name: str(amount) for name, amount in used.items()}
