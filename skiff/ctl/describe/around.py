"""What a description shows besides the object: fetched at once, left out where it may not be read."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Any

from apimachinery.errors import StatusError
from skiff.ctl.pods import selector_of
from skiff.ctl.session import Session
from skiff.ctl.targets import Target, listed

JSON = dict[str, Any]
Asked = Coroutine[Any, Any, list[JSON] | None] | None


@dataclass
class Around:
    """`now` is when it was asked; lists are None where they were not asked for or may not be read."""

    now: float = 0.0
    events: list[JSON] | None = None
    pods: list[JSON] | None = None
    replica_sets: list[JSON] | None = None
    endpoint_slices: list[JSON] | None = None
    quotas: list[JSON] = field(default_factory=list)
    limit_ranges: list[JSON] = field(default_factory=list)
    lease: JSON | None = None
    tokens: list[str] = field(default_factory=list)


async def gather(session: Session, target: Target, obj: JSON, with_events: bool = True) -> Around:
    catalog = await session.catalog()
    metadata = obj["metadata"]

    async def some(word: str, namespace: str, labels: str = "", fields: str = "") -> list[JSON] | None:
        try:
            return await listed(session, Target(catalog.find(word), namespace), labels, fields)
        except StatusError:
            return None

    async def nothing() -> list[JSON] | None:
        return None

    kind, namespace, name = obj.get("kind"), target.namespace, metadata["name"]
    found = Around(session.now())
    # Events about nodes carry the node's name for a uid, so the name is what is asked by.
    fields = f"involvedObject.name={name},involvedObject.kind={kind}"
    fields += f",involvedObject.namespace={namespace}" if namespace else ""
    fields += "" if kind == "Node" else f",involvedObject.uid={metadata.get('uid', '')}"
    pods: Asked = None
    sets: Asked = None
    slices: Asked = None
    if kind in ("ReplicaSet", "DaemonSet", "StatefulSet", "Job", "ReplicationController"):
        pods = some("pods", namespace, selector_of(obj))
    elif kind == "Node":
        pods = some("pods", "", fields=f"spec.nodeName={name},status.phase!=Succeeded,status.phase!=Failed")
    if kind == "Deployment":
        sets = some("replicasets.apps", namespace, selector_of(obj))
    elif kind == "Service":
        slices = some("endpointslices.discovery.k8s.io", namespace, f"kubernetes.io/service-name={name}")
    events = some("events", namespace, fields=fields) if with_events else None
    answers = await asyncio.gather(*(one or nothing() for one in (events, pods, sets, slices)))
    found.events, found.pods, found.replica_sets, found.endpoint_slices = answers
    if kind == "Namespace":
        found.quotas = await some("resourcequotas", name) or []
        found.limit_ranges = await some("limitranges", name) or []
    elif kind == "ServiceAccount":
        held = await some("secrets", namespace, fields="type=kubernetes.io/service-account-token") or []
        found.tokens = [one["metadata"]["name"] for one in held if _token_of(one) == name]
    elif kind == "Node":
        try:
            found.lease = await session.client.get(
                f"/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/{name}"
            )
        except StatusError:
            found.lease = None
    return found


def _token_of(secret: JSON) -> str:
    return str((secret["metadata"].get("annotations") or {}).get("kubernetes.io/service-account.name") or "")
