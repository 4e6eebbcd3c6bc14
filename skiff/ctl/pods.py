"""Which pod and which container a command means: `web-1`, `deploy/web`, `svc/web`, `-c sidecar`."""

from __future__ import annotations

from typing import Any

from apimachinery.selectors import from_label_selector
from skiff.ctl.failures import Failure
from skiff.ctl.session import Session
from skiff.ctl.targets import Target, listed, parse

DEFAULT_CONTAINER = "kubectl.kubernetes.io/default-container"
_LISTS = ("containers", "initContainers", "ephemeralContainers")


def selector_of(obj: dict[str, Any]) -> str:
    """The selector of the pods of a workload or a service. Raises Failure where it has none."""
    spec = obj.get("spec") or {}
    found = spec.get("selector")
    if not found:
        raise Failure(
            f"cannot tell which pods belong to {obj.get('kind')} {obj['metadata']['name']}: it has no selector"
        )
    if "matchLabels" not in found and "matchExpressions" not in found:
        found = {"matchLabels": found}
    return str(from_label_selector(found))


def _rank(pod: dict[str, Any]) -> tuple[bool, bool, str]:
    """Running and ready ones first, then the oldest."""
    status = pod.get("status") or {}
    ready = any(c["type"] == "Ready" and c["status"] == "True" for c in status.get("conditions") or ())
    return (status.get("phase") != "Running", not ready, pod["metadata"].get("creationTimestamp") or "")


async def pods_of(session: Session, target: Target) -> list[dict[str, Any]]:
    """The pod itself, or the pods of a workload or service, the best one first."""
    if target.type.plural == "pods":
        return await listed(session, target)
    obj = await session.client.get(target.path)
    if obj["kind"] == "CronJob":
        raise Failure("a CronJob has no pods of its own: name one of its jobs")
    pods = Target((await session.catalog()).find("pods"), target.namespace)
    return sorted(await listed(session, pods, selector_of(obj)), key=_rank)


async def pod_named(session: Session, word: str) -> dict[str, Any]:
    """The pod meant by `NAME` or `TYPE/NAME`."""
    if "/" not in word:
        path = f"/api/v1/namespaces/{session.namespace}/pods/{word}"
        return await session.client.get(path)
    target = parse([word], await session.catalog(), session.namespace)[0]
    found = await pods_of(session, target)
    if not found:
        raise Failure(f"timed out waiting for the condition: {target} has no pods")
    return found[0]


def containers(pod: dict[str, Any]) -> list[str]:
    """All, those that run before the others first."""
    spec = pod.get("spec") or {}
    order = (_LISTS[1], _LISTS[0], _LISTS[2])
    return [container["name"] for name in order for container in spec.get(name) or ()]


def container_named(pod: dict[str, Any], name: str) -> tuple[str, str]:
    """The container meant, and a remark where there was a choice. Raises Failure."""
    spec = pod.get("spec") or {}
    pod_name = pod["metadata"]["name"]
    if name:
        if name not in containers(pod):
            raise Failure(f"container {name} not found in pod {pod_name}")
        return name, ""
    usual = [container["name"] for container in spec.get("containers") or ()]
    chosen = (pod["metadata"].get("annotations") or {}).get(DEFAULT_CONTAINER)
    if chosen in usual:
        return str(chosen), ""
    if len(containers(pod)) > 1:
        types = {"initContainers": " (init)", "ephemeralContainers": " (ephem)"}
        names = [c["name"] + types.get(kind, "") for kind in _LISTS for c in spec.get(kind) or ()]
        return usual[0], f'Defaulted container "{usual[0]}" out of: {", ".join(names)}'
    return usual[0], ""


def container_spec(pod: dict[str, Any], name: str) -> dict[str, Any]:
    for kind in _LISTS:
        for container in (pod.get("spec") or {}).get(kind) or ():
            if container["name"] == name:
                return dict(container)
    raise Failure(f"container {name} not found in pod {pod['metadata']['name']}")
