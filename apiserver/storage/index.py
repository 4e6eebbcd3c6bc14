"""What the cache knows of an object without decoding all of it: name, labels, and the fields to select its kind by.

The selectable fields per kind are upstream's; clients such as `kubectl describe` (events of an object) and kubelets
(pods of a node) depend on them.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import Any, cast

import msgspec
from msgspec import Struct

#: Tables of labels and fields of a resource that are remembered to be shared.
MOST_SHARED = 1000
Labels = Mapping[str, str]
NO_LABELS: Labels = {}


class Metadata(Struct, gc=False):
    name: str = ""
    namespace: str = ""
    labels: dict[str, str] | None = None


class Plain(Struct, gc=False):
    metadata: Metadata


class _PodSpec(Struct, gc=False, rename="camel"):
    node_name: str | None = None
    restart_policy: str | None = None
    scheduler_name: str | None = None
    service_account_name: str | None = None
    host_network: bool | None = None


class _PodIp(Struct, gc=False):
    ip: str | None = None


class _PodStatus(Struct, gc=False, rename="camel"):
    phase: str | None = None
    pod_ip: str | None = msgspec.field(default=None, name="podIP")
    pod_ips: list[_PodIp] | None = msgspec.field(default=None, name="podIPs")
    nominated_node_name: str | None = None


class Pod(Struct, gc=False):
    metadata: Metadata
    spec: _PodSpec | None = None
    status: _PodStatus | None = None


class _Reference(Struct, gc=False, rename="camel"):
    kind: str | None = None
    namespace: str | None = None
    name: str | None = None
    uid: str | None = None
    api_version: str | None = None
    resource_version: str | None = None
    field_path: str | None = None


class _Source(Struct, gc=False):
    component: str | None = None


class Event(Struct, gc=False, rename="camel"):
    metadata: Metadata
    involved_object: _Reference | None = None
    reason: str | None = None
    reporting_component: str | None = None
    source: _Source | None = None
    type: str | None = None


class _Any(Struct, gc=False):
    """Kinds with a selectable field or two, read by path."""

    metadata: Metadata
    spec: dict[str, Any] | None = None
    status: dict[str, Any] | None = None
    type: str | None = None


class _Typed(Struct, gc=False):
    metadata: Metadata
    type: str | None = None


class _Spec(Struct, gc=False):
    metadata: Metadata
    spec: dict[str, Any] | None = None


class _Status(Struct, gc=False):
    metadata: Metadata
    status: dict[str, Any] | None = None


Fields = dict[str, str]


def _pod(pod: Pod) -> Fields:
    spec, status = pod.spec or _PodSpec(), pod.status or _PodStatus()
    return {
        "spec.nodeName": spec.node_name or "",
        "spec.restartPolicy": spec.restart_policy or "",
        "spec.schedulerName": spec.scheduler_name or "",
        "spec.serviceAccountName": spec.service_account_name or "",
        "spec.hostNetwork": "true" if spec.host_network else "false",
        "status.phase": status.phase or "",
        "status.podIP": status.pod_ip or (status.pod_ips[0].ip or "" if status.pod_ips else ""),
        "status.nominatedNodeName": status.nominated_node_name or "",
    }


def _event(event: Event) -> Fields:
    about = event.involved_object or _Reference()
    component = event.source.component if event.source else None
    return {
        "involvedObject.kind": about.kind or "",
        "involvedObject.namespace": about.namespace or "",
        "involvedObject.name": about.name or "",
        "involvedObject.uid": about.uid or "",
        "involvedObject.apiVersion": about.api_version or "",
        "involvedObject.resourceVersion": about.resource_version or "",
        "involvedObject.fieldPath": about.field_path or "",
        "reason": event.reason or "",
        "reportingComponent": event.reporting_component or component or "",
        "source": component or event.reporting_component or "",
        "type": event.type or "",
    }


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def _spec(**fields: Any) -> Callable[[Any], Fields]:
    """`fields`: name -> value when absent."""

    def read(view: _Spec | _Any) -> Fields:
        spec = view.spec or {}
        return {f"spec.{name}": _text(spec.get(name, default)) for name, default in fields.items()}

    return read


def _status(**fields: Any) -> Callable[[Any], Fields]:
    def read(view: _Status | _Any) -> Fields:
        status = view.status or {}
        return {f"status.{name}": _text(status.get(name, default)) for name, default in fields.items()}

    return read


def _no_fields(view: Any) -> Fields:
    del view
    return {}


#: group resource -> how much of an object to read, and the fields in it
_KINDS: dict[str, tuple[type[Struct], Callable[[Any], Fields]]] = {
    "pods": (Pod, _pod),
    "events": (Event, _event),
    "nodes": (_Spec, _spec(unschedulable=False)),
    "namespaces": (_Status, _status(phase="")),
    "secrets": (_Typed, lambda view: {"type": view.type or ""}),
    "services": (_Spec, _spec(clusterIP="", type="")),
    "replicationcontrollers": (_Status, _status(replicas=0)),
    "replicasets.apps": (_Status, _status(replicas=0)),
    "jobs.batch": (_Status, _status(successful=0)),
    "certificatesigningrequests.certificates.k8s.io": (_Spec, _spec(signerName="")),
    "resourceslices.resource.k8s.io": (_Spec, _spec(nodeName="", driver="")),
}
_KINDS["jobs.batch"] = (_Status, lambda view: {"status.successful": _text((view.status or {}).get("succeeded", 0))})
#: Names under which another version of the same objects is selected: its name -> the stored one's.
ALIASES: dict[str, dict[str, str]] = {
    "events.events.k8s.io": {
        "regarding.kind": "involvedObject.kind",
        "regarding.namespace": "involvedObject.namespace",
        "regarding.name": "involvedObject.name",
        "regarding.uid": "involvedObject.uid",
        "regarding.apiVersion": "involvedObject.apiVersion",
        "regarding.resourceVersion": "involvedObject.resourceVersion",
        "regarding.fieldPath": "involvedObject.fieldPath",
        "reportingController": "reportingComponent",
    }
}
NAMES = ("metadata.name", "metadata.namespace")


class Summary(Struct, gc=False, frozen=True):
    namespace: str
    name: str
    labels: Labels
    fields: Fields


class Indexer:
    """Reads summaries of one resource. `extra` are the selectable fields of a custom resource: dotted paths.

    Tables of equal content are shared among summaries: never change one.
    """

    def __init__(self, group_resource: str, extra: tuple[str, ...] = ()) -> None:
        view, self._read = _KINDS.get(group_resource, (Plain, _no_fields))
        if extra:
            view, self._read = dict, lambda obj: {path: _text(_at(obj, path)) for path in extra}  # type: ignore[assignment]
        self._decoder = msgspec.json.Decoder(view)
        self._extra = extra
        self._tables: dict[tuple[tuple[str, str], ...], dict[str, str]] = {}
        self.selectable = frozenset((*NAMES, *extra, *(() if extra else self._names(view))))

    def _names(self, view: type[Struct]) -> tuple[str, ...]:
        if self._read is _no_fields:
            return ()
        return tuple(self._read(msgspec.convert({"metadata": {}}, view)))

    def summary(self, data: bytes) -> Summary:
        view: Any = self._decoder.decode(data)
        fields = self._read(view)
        metadata = msgspec.convert(view["metadata"], Metadata) if self._extra else cast(Metadata, view.metadata)
        labels = self._shared(metadata.labels) if metadata.labels else NO_LABELS
        return Summary(
            sys.intern(metadata.namespace), metadata.name, labels, self._shared(fields) if fields else fields
        )

    def _shared(self, table: dict[str, str]) -> dict[str, str]:
        """The equal one that was there before: replicas differ in little, and thousands of them lie in memory."""
        key = tuple(table.items())
        found = self._tables.get(key)
        if found is None:
            if len(self._tables) >= MOST_SHARED:
                self._tables.clear()
            found = self._tables[key] = table
        return found


def _at(obj: Any, path: str) -> Any:
    for part in path.strip(".").split("."):
        obj = obj.get(part) if isinstance(obj, dict) else None
    return obj
