"""Creating and repairing the objects of a fresh cluster when an apiserver starts.

Everything is idempotent and several apiservers may do it at once. On a cluster that has all of it, nothing is written.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Iterable
from pathlib import Path

from apimachinery import resources
from apimachinery.errors import StatusError
from apimachinery.resources import ResourceInfo
from apiserver.authz.rbac import rbac_resource
from apiserver.bootstrap.cluster_roles import BINDINGS, CLUSTER_ROLES
from apiserver.bootstrap.controller_roles import CONTROLLER_BINDINGS, CONTROLLER_ROLES
from apiserver.bootstrap.flow_control import GROUP as FLOW_CONTROL
from apiserver.bootstrap.flow_control import flow_schemas, priority_levels
from apiserver.bootstrap.namespace_roles import NAMESPACE_BINDINGS, NAMESPACE_ROLES
from apiserver.bootstrap.reconcile import reconcile
from apiserver.ports import JSON, Objects
from component_base.flags import Values

NAMESPACES = ("kube-system", "kube-public", "kube-node-lease", "default")
PRIORITY_CLASSES = (
    (
        "system-node-critical",
        2000001000,
        "Used for system critical pods that must not be moved from their current node.",
    ),
    (
        "system-cluster-critical",
        2000000000,
        "Used for system critical pods that must run in the cluster, but can be moved to another node if necessary.",
    ),
)
TRUST = ("kube-system", "extension-apiserver-authentication")
AT_ONCE = 32  # writes in flight: enough to share fdatasyncs, few enough not to starve early clients


async def run(values: Values, objects: Objects) -> None:
    """`values` are the flags of authentication; the caches need not be filled yet."""
    for plural in ("roles", "clusterroles", "rolebindings", "clusterrolebindings"):
        await objects.synced(rbac_resource(plural))
    await asyncio.gather(*(ensure(objects, _core("namespaces"), namespace(name)) for name in NAMESPACES))
    wanted = [entry.as_object() for entry in (*CLUSTER_ROLES, *CONTROLLER_ROLES, *NAMESPACE_ROLES)]
    wanted += [entry.as_object() for entry in (*BINDINGS, *CONTROLLER_BINDINGS, *NAMESPACE_BINDINGS)]
    trust = await asyncio.to_thread(trust_data, values)
    await _bounded(
        [
            *(reconcile(objects, obj) for obj in wanted),
            *(ensure(objects, _flow_control("prioritylevelconfigurations"), obj) for obj in priority_levels()),
            *(ensure(objects, _flow_control("flowschemas"), obj) for obj in flow_schemas()),
            *(ensure_priority_class(objects, priority_class(*entry)) for entry in PRIORITY_CLASSES),
            publish_trust(objects, trust),
        ]
    )


async def _bounded(work: Iterable[Awaitable[None]]) -> None:
    limit = asyncio.Semaphore(AT_ONCE)

    async def one(item: Awaitable[None]) -> None:
        async with limit:
            await item

    async with asyncio.TaskGroup() as group:
        for item in work:
            group.create_task(one(item))


async def ensure(objects: Objects, info: ResourceInfo, obj: JSON) -> None:
    """Create it unless it is there."""
    metadata = obj["metadata"]
    if objects.get(info, metadata.get("namespace", ""), metadata["name"]) is not None:
        return
    try:
        await objects.create(info, obj)
    except StatusError as error:
        if error.reason != "AlreadyExists":
            raise


async def ensure_priority_class(objects: Objects, wanted: JSON) -> None:
    """Its value is not to be chosen by anybody else: a class with another value is replaced."""
    info = resources.find("scheduling.k8s.io", "v1", "priorityclasses")
    assert info is not None
    name = wanted["metadata"]["name"]
    present = objects.get(info, "", name)
    if present is not None and present["value"] != wanted["value"]:
        await objects.delete(info, "", name)
        await objects.create(info, wanted)
        return
    await ensure(objects, info, wanted)


async def publish_trust(objects: Objects, data: dict[str, str]) -> None:
    """Tells extension servers which client certificates and proxies this apiserver believes."""
    info = _core("configmaps")
    kube_system, name = TRUST
    if not data:
        return
    obj: JSON = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": kube_system}}
    present = objects.get(info, kube_system, name)
    if present is None:
        try:
            await objects.create(info, {**obj, "data": data})
            return
        except StatusError as error:
            if error.reason != "AlreadyExists":
                raise
    await objects.update(info, kube_system, name, lambda current: _with_trust(current, data))


def _with_trust(current: JSON, data: dict[str, str]) -> JSON | None:
    """Other apiservers may use other authorities: theirs stay beside ours."""
    before = current.get("data") or {}
    after = {**before, **data}
    for key in ("client-ca-file", "requestheader-client-ca-file"):
        if key in before and key in data:
            after[key] = before[key] if data[key].strip() in before[key] else before[key].rstrip() + "\n" + data[key]
    return None if after == before else {**current, "data": after}


def trust_data(values: Values) -> dict[str, str]:
    data = {}
    if values["client-ca-file"]:
        data["client-ca-file"] = Path(values["client-ca-file"]).read_text()
    if values["requestheader-client-ca-file"]:
        data["requestheader-client-ca-file"] = Path(values["requestheader-client-ca-file"]).read_text()
        for key in (
            "requestheader-username-headers",
            "requestheader-uid-headers",
            "requestheader-group-headers",
            "requestheader-extra-headers-prefix",
            "requestheader-allowed-names",
        ):
            data[key] = json.dumps(list(values[key]), separators=(",", ":"))
    return data


def namespace(name: str) -> JSON:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}


def priority_class(name: str, value: int, description: str) -> JSON:
    return {
        "apiVersion": "scheduling.k8s.io/v1",
        "kind": "PriorityClass",
        "metadata": {"name": name},
        "value": value,
        "description": description,
    }


def _flow_control(plural: str) -> ResourceInfo:
    info = resources.find(FLOW_CONTROL, "v1", plural)
    assert info is not None
    return info


def _core(plural: str) -> ResourceInfo:
    info = resources.find("", "v1", plural)
    assert info is not None
    return info
