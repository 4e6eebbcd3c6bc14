"""Binding a pod to a node: the scheduler's one write."""

from __future__ import annotations

from typing import Any

from apimachinery import errors, timestamps
from apimachinery.fields import Path, not_supported, required
from apimachinery.resources import ResourceInfo, SubresourceInfo, require
from apiserver.endpoints import decode
from apiserver.endpoints.core import Core, write_of
from apiserver.endpoints.exchange import Exchange
from apiserver.ports import AdmissionRequest, Operation
from apiserver.registry import deletion

JSON = dict[str, Any]
SUCCESS = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}


async def bind(core: Core, exchange: Exchange, info: ResourceInfo, known: SubresourceInfo) -> None:
    exchange.choose(tables=False)
    binding = await decode.read_object(exchange, decode.as_resource(core.catalog, known.api_version, known.kind))
    decode.settle_names(exchange, info, binding)
    name = exchange.target.name
    if (binding["metadata"].get("name") or name) != name:
        raise errors.bad_request("name in URL does not match name in Binding object")
    await _bind(core, exchange, info, binding, name)


async def bind_legacy(core: Core, exchange: Exchange, info: ResourceInfo) -> None:
    """POST to the virtual resource `bindings`."""
    exchange.choose(tables=False)
    binding = await decode.read_object(exchange, info)
    decode.settle_names(exchange, info, binding)
    await _bind(core, exchange, require("v1", "pods"), binding, binding["metadata"].get("name") or "")


async def _bind(core: Core, exchange: Exchange, info: ResourceInfo, binding: JSON, name: str) -> None:
    write = write_of(exchange)
    check(binding, name)
    if core.writer.admission is not None:
        namespace = exchange.target.namespace
        request = AdmissionRequest(
            Operation.CREATE, info, "binding", namespace, name, binding, None, exchange.user, write.dry_run, {}
        )
        request.warnings, request.kind, request.options = exchange.warnings, ("", "v1", "Binding"), write.options
        request.annotations = write.annotations
        await core.writer.admission.mutate(request)
        await core.writer.admission.validate(request)
    write.raw = True
    now = timestamps.format(core.clock.now())

    async def change(pod: JSON) -> JSON:
        return bound(info, pod, binding, now)

    metadata = binding["metadata"]
    options = deletion.Options(uid=metadata.get("uid") or "", resource_version=metadata.get("resourceVersion") or "")
    await core.writer.update(info, exchange.target.namespace, name, change, write, "binding", options=options)
    await exchange.answer_object(201, SUCCESS)


def check(binding: JSON, name: str) -> None:
    """Raises StatusError 422."""
    target = binding.get("target") or {}
    problems = []
    kind = target.get("kind") or ""
    if kind not in ("", "Node"):
        problems.append(not_supported(Path("target").child("kind"), kind, ["Node", "<empty>"]))
    if not target.get("name"):
        problems.append(required(Path("target").child("name"), ""))
    if problems:
        raise errors.invalid("", "Binding", name, problems)


def bound(info: ResourceInfo, pod: JSON, binding: JSON, now: str) -> JSON:
    """The pod on its node. Raises StatusError 409 when it cannot go there any more."""
    metadata, spec = pod["metadata"], pod["spec"]
    name, node = metadata["name"], binding["target"]["name"]
    if metadata.get("deletionTimestamp"):
        cause = f"pod {name} is being deleted, cannot be assigned to a host"
        raise errors.conflict("pods/binding", "", name, cause)
    if spec.get("nodeName"):
        raise errors.conflict("pods/binding", "", name, f'pod {name} is already assigned to node "{spec["nodeName"]}"')
    if spec.get("schedulingGates"):
        raise errors.conflict("pods/binding", "", name, f"pod {name} has non-empty .spec.schedulingGates")
    spec["nodeName"] = node
    for field in ("annotations", "labels"):
        if extra := binding["metadata"].get(field):
            metadata[field] = {**(metadata.get(field) or {}), **extra}
    status = pod.setdefault("status", {})
    conditions = [c for c in status.get("conditions") or () if c.get("type") != "PodScheduled"]
    scheduled = {"type": "PodScheduled", "status": "True", "lastProbeTime": None, "lastTransitionTime": now}
    observed = metadata.get("generation")
    if observed and any("observedGeneration" in c for c in status.get("conditions") or ()):
        scheduled["observedGeneration"] = observed
    status["conditions"] = [*conditions, scheduled]
    return pod
