"""Evicting a pod: a deletion that its PodDisruptionBudget must agree to."""

from __future__ import annotations

from typing import Any

from apimachinery import errors, timestamps
from apimachinery.resources import ResourceInfo, SubresourceInfo, require
from apimachinery.selectors import from_label_selector
from apiserver.endpoints import decode
from apiserver.endpoints.binding import SUCCESS
from apiserver.endpoints.core import Core, write_of
from apiserver.endpoints.exchange import Exchange
from apiserver.ports import AdmissionRequest, Operation
from apiserver.registry import deletion
from apiserver.registry.writer import Write

JSON = dict[str, Any]
#: A budget remembers this many evictions that its controller has not seen yet.
MAX_DISRUPTED = 2000
_MANY = "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support."
_REFUSED = "Cannot evict pod as it would violate the pod's disruption budget."


async def evict(core: Core, exchange: Exchange, info: ResourceInfo, known: SubresourceInfo) -> None:
    exchange.choose(tables=False)
    write = write_of(exchange)
    body = await decode.read_object(exchange, decode.as_resource(core.catalog, known.api_version, known.kind))
    decode.settle_names(exchange, info, body)
    target = exchange.target
    if (body["metadata"].get("name") or "") != target.name:
        raise errors.bad_request("name in URL does not match name in Eviction object")
    given = body.get("deleteOptions") or {}
    if "All" in (given.get("dryRun") or ()):
        write.dry_run = True
    options = deletion.parse_options(given)
    await _admit(core, exchange, info, write, body)
    await core.feed.fresh()
    entry = core.feed.cache(info).get(target.namespace, target.name)
    if entry is None:
        raise errors.not_found(info.plural, info.group, target.name)
    pod = entry.shared()
    deletion.check_preconditions(info, pod, options)
    if not beyond_disruption(pod):
        await _ask_budget(core, pod, write)
    await _mark(core, info, pod, write)
    options = deletion.Options(options.grace, options.policy, options.uid)
    write.admit = False  # what was asked for is an eviction, and that has been admitted
    await core.writer.delete(info, target.namespace, target.name, options, write)
    await exchange.answer_object(201, SUCCESS)


async def _admit(core: Core, exchange: Exchange, info: ResourceInfo, write: Write, body: JSON) -> None:
    if core.writer.admission is None:
        return
    target = exchange.target
    request = AdmissionRequest(
        Operation.CREATE, info, "eviction", target.namespace, target.name, body, None, write.user, write.dry_run
    )
    request.options, request.warnings, request.kind = write.options, write.warnings, ("policy", "v1", "Eviction")
    request.annotations = write.annotations
    await core.writer.admission.mutate(request)
    await core.writer.admission.validate(request)


def beyond_disruption(pod: JSON) -> bool:
    """Finished, unscheduled or already leaving: evicting it disrupts nothing."""
    status = pod.get("status") or {}
    return status.get("phase") in ("Succeeded", "Failed", "Pending") or bool(pod["metadata"].get("deletionTimestamp"))


def is_ready(pod: JSON) -> bool:
    conditions = (pod.get("status") or {}).get("conditions") or ()
    return any(c.get("type") == "Ready" and c.get("status") == "True" for c in conditions)


async def _ask_budget(core: Core, pod: JSON, write: Write) -> None:
    """Takes one disruption from the pod's budget, if it has one and needs it. Raises StatusError when refused."""
    info = require("policy/v1", "poddisruptionbudgets")
    metadata = pod["metadata"]
    budgets = [
        entry.shared()
        for entry in core.feed.cache(info).within(metadata["namespace"])
        if from_label_selector((entry.shared().get("spec") or {}).get("selector")).matches(metadata.get("labels") or {})
    ]
    if not budgets:
        return
    if len(budgets) > 1:
        raise errors.StatusError(500, "", _MANY)
    budget = budgets[0]
    status = budget.get("status") or {}
    if not is_ready(pod):
        policy = (budget.get("spec") or {}).get("unhealthyPodEvictionPolicy")
        desired = status.get("desiredHealthy") or 0
        if policy == "AlwaysAllow" or ((status.get("currentHealthy") or 0) >= desired > 0):
            return
    now = timestamps.format(core.clock.now())

    async def take(current: JSON) -> JSON:
        return taken(current, metadata["name"], now)

    internal = Write(write.user, write.dry_run, admit=False, raw=True)
    await core.writer.update(info, metadata["namespace"], budget["metadata"]["name"], take, internal, "status")


def taken(budget: JSON, pod: str, now: str) -> JSON:
    """The budget with one disruption less. Raises StatusError 429."""
    name, status = budget["metadata"]["name"], budget.setdefault("status", {})
    if (status.get("observedGeneration") or 0) < (budget["metadata"].get("generation") or 0):
        raise refusal(f"The disruption budget {name} is still being processed by the server.", 10)
    allowed = status.get("disruptionsAllowed") or 0
    if allowed < 0:
        raise errors.forbidden("poddisruptionbudgets", "policy", name, "pdb disruptions allowed is negative")
    disrupted = status.setdefault("disruptedPods", {})
    if len(disrupted) > MAX_DISRUPTED:
        cause = "DisruptedPods map too big - too many evictions not confirmed by PDB controller"
        raise errors.forbidden("poddisruptionbudgets", "policy", name, cause)
    if allowed == 0:
        have, need = status.get("currentHealthy") or 0, status.get("desiredHealthy") or 0
        raise refusal(f"The disruption budget {name} needs {need} healthy pods and has {have} currently")
    status["disruptionsAllowed"] = allowed - 1
    disrupted[pod] = now
    return budget


def refusal(cause: str, retry_after: int = 0) -> errors.StatusError:
    details: JSON = {"causes": [{"reason": "DisruptionBudget", "message": cause}]}
    if retry_after:
        details["retryAfterSeconds"] = retry_after
    return errors.StatusError(429, "TooManyRequests", _REFUSED, details)


async def _mark(core: Core, info: ResourceInfo, pod: JSON, write: Write) -> None:
    """Says in the pod's status why it goes."""
    metadata = pod["metadata"]
    now = timestamps.format(core.clock.now())

    async def change(current: JSON) -> JSON:
        status = current.setdefault("status", {})
        others = [c for c in status.get("conditions") or () if c.get("type") != "DisruptionTarget"]
        target = {
            "type": "DisruptionTarget",
            "status": "True",
            "lastProbeTime": None,
            "lastTransitionTime": now,
            "reason": "EvictionByEvictionAPI",
            "message": "Eviction API: evicting",
        }
        status["conditions"] = [*others, target]
        return current

    internal = Write(write.user, write.dry_run, admit=False, raw=True)
    await core.writer.update(info, metadata["namespace"], metadata["name"], change, internal, "status")
