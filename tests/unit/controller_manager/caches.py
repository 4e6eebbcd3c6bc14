"""Caches filled by hand, so that a controller's plan can be looked at without a server."""

import json
from typing import Any

from component_base.clock import ManualClock
from controller_manager import history, views
from controller_manager.cronjob.views import CronJob
from controller_manager.daemonset.views import DaemonSet
from controller_manager.disruption.views import Budget
from controller_manager.job.views import Job
from controller_manager.statefulset.views import StatefulSet
from kubeclient.informer import Informers
from kubeclient.plan import Action, Create, Delete, Event, Patch, Plan, Replace
from kubeclient.rest import WatchEvent
from kubeclient.volumes import ATTRIBUTES_CLASSES, CLASSES, AttributesClass, Claim, StorageClass, Volume
from tests.unit.kubeclient.memory_api import MemoryApi

NOW = 1_800_000_000.0
THEN = "2027-01-15T07:59:00Z"  # a minute before NOW

VIEWS: dict[str, type[Any]] = {
    "/api/v1/pods": views.Pod,
    "/api/v1/services": views.Service,
    "/api/v1/endpoints": views.Endpoints,
    "/api/v1/nodes": views.Node,
    "/api/v1/namespaces": views.Namespace,
    "/api/v1/serviceaccounts": views.ServiceAccount,
    "/api/v1/secrets": views.Secret,
    "/api/v1/configmaps": views.ConfigMap,
    "/apis/apps/v1/deployments": views.Deployment,
    "/apis/apps/v1/replicasets": views.ReplicaSet,
    "/apis/apps/v1/daemonsets": DaemonSet,
    "/apis/batch/v1/jobs": Job,
    "/apis/batch/v1/cronjobs": CronJob,
    "/apis/apps/v1/statefulsets": StatefulSet,
    "/api/v1/persistentvolumeclaims": Claim,
    "/apis/policy/v1/poddisruptionbudgets": Budget,
    "/api/v1/replicationcontrollers": views.ReplicationController,
    "/api/v1/persistentvolumes": Volume,
    CLASSES: StorageClass,
    ATTRIBUTES_CLASSES: AttributesClass,
    history.COLLECTION: history.ControllerRevision,
    "/apis/discovery.k8s.io/v1/endpointslices": views.EndpointSlice,
    "/apis/coordination.k8s.io/v1/leases": views.Lease,
}


class Caches:
    def __init__(self) -> None:
        self.clock = ManualClock(NOW)
        self.informers = Informers(MemoryApi().client(), self.clock)
        self._revision = 100

    def put(self, collection: str, body: dict[str, Any]) -> dict[str, Any]:
        """As a watch would show it; uid and resourceVersion are filled in."""
        self._revision += 1
        meta = {"uid": f"uid-{body['metadata']['name']}", "creationTimestamp": THEN, **body["metadata"]}
        body = {**body, "metadata": {**meta, "resourceVersion": str(self._revision)}}
        self.informers.of(collection, VIEWS[collection]).apply(WatchEvent("MODIFIED", json.dumps(body).encode()))
        return body

    def drop(self, collection: str, body: dict[str, Any]) -> None:
        self.informers.of(collection, VIEWS[collection]).apply(WatchEvent("DELETED", json.dumps(body).encode()))


def actions(plan: Plan) -> list[Action]:
    return [action for batch in plan.batches for action in batch]


def creates(plan: Plan) -> list[Create]:
    return [a for a in actions(plan) if isinstance(a, Create)]


def deletes(plan: Plan) -> list[str]:
    """Names of what is deleted."""
    return [a.path.rpartition("/")[2] for a in actions(plan) if isinstance(a, Delete)]


def patches(plan: Plan) -> list[Patch]:
    return [a for a in actions(plan) if isinstance(a, Patch)]


def replaces(plan: Plan) -> list[Replace]:
    return [a for a in actions(plan) if isinstance(a, Replace)]


def events(plan: Plan) -> list[tuple[str, str]]:
    return [(a.reason, a.message) for a in actions(plan) if isinstance(a, Event)]


def status_of(plan: Plan) -> dict[str, Any] | None:
    """The status the plan writes, if it writes one."""
    for patch in patches(plan):
        if patch.path.endswith("/status"):
            found: dict[str, Any] = patch.body["status"]
            return found
    return None


def condition(kind: str, status: str = "True", **more: Any) -> dict[str, Any]:
    return {"type": kind, "status": status, "lastTransitionTime": THEN, **more}


def owner(kind: str, name: str, api_version: str = "apps/v1") -> dict[str, Any]:
    return {
        "apiVersion": api_version,
        "kind": kind,
        "name": name,
        "uid": f"uid-{name}",
        "controller": True,
        "blockOwnerDeletion": True,
    }


def pod(
    name: str,
    owner_of: dict[str, Any] | None = None,
    *,
    ready: bool = True,
    node: str = "n1",
    ip: str = "10.0.0.1",
    phase: str = "Running",
    labels: dict[str, str] | None = None,
    **more: Any,
) -> dict[str, Any]:
    meta = {
        "name": name,
        "namespace": "x",
        "labels": {"app": "web"} if labels is None else labels,
        "ownerReferences": [owner_of] if owner_of else [],
        **more.pop("meta", {}),
    }
    ports = [{"name": "http", "containerPort": 8080}]
    spec = {"nodeName": node, "containers": [{"name": "c", "ports": ports}], **more.pop("spec", {})}
    status = {
        "phase": phase,
        "podIP": ip,
        "podIPs": [{"ip": ip}] if ip else [],
        "conditions": [condition("Ready", "True" if ready else "False")],
    }
    assert not more, more
    return {"metadata": meta, "spec": spec, "status": status}
