"""The table of rules for the core group and for apps."""

from __future__ import annotations

from apimachinery import names
from apimachinery.fields import Path
from apimachinery.validation import (
    claims,
    cluster,
    configuration,
    endpoints,
    events,
    pods,
    quotas,
    services,
    workloads,
)
from apimachinery.validation.podspec import pod_template
from apimachinery.validation.rules import Errors, Obj, Rules


def _pod_template_object(obj: Obj) -> Errors:
    return pod_template(obj.get("template") or {}, Path("template"))


CORE: dict[tuple[str, str], Rules] = {
    ("", "Pod"): Rules(
        create=pods.create,
        update=pods.update,
        create_on_update=False,
        subresources={
            "status": pods.status_update,
            "ephemeralcontainers": pods.ephemeral_containers_update,
            "resize": pods.resize_update,
        },
    ),
    ("", "Event"): Rules(create=events.core, metadata=False),
    ("", "Binding"): Rules(create=pods.binding, core_finalizers=False),
    ("", "PodTemplate"): Rules(create=_pod_template_object),
    ("", "Service"): Rules(
        name=names.dns1123_label,
        create=services.create,
        update=services.update,
        create_on_update=False,
        subresources={"status": services.status_update},
    ),
    ("", "Namespace"): Rules(
        name=names.dns1123_label,
        create=cluster.namespace,
        create_on_update=False,
        subresources={"status": cluster.namespace_status, "finalize": cluster.namespace_finalize},
    ),
    ("", "Node"): Rules(
        create=cluster.node,
        update=cluster.node_update,
        create_on_update=False,
        subresources={"status": cluster.node_update},
    ),
    ("", "ConfigMap"): Rules(
        create=configuration.config_map, update=configuration.config_map_update, meta_on_update=True
    ),
    ("", "Secret"): Rules(create=configuration.secret, update=configuration.secret_update, meta_on_update=True),
    ("", "ServiceAccount"): Rules(meta_on_update=True),
    ("", "Endpoints"): Rules(
        create=endpoints.create, update=endpoints.update, create_on_update=False, meta_on_update=True
    ),
    ("", "PersistentVolumeClaim"): Rules(
        create=claims.create,
        update=claims.update,
        create_on_update=False,
        meta_on_update=True,
        subresources={"status": claims.status_update},
    ),
    ("", "ReplicationController"): Rules(
        create=workloads.replication_controller,
        subresources={"status": workloads.status("fullyLabeledReplicas", "readyReplicas", "availableReplicas")},
    ),
    ("", "ResourceQuota"): Rules(
        create=quotas.resource_quota,
        update=quotas.resource_quota_update,
        create_on_update=False,
        subresources={"status": quotas.resource_quota_status},
    ),
    ("", "LimitRange"): Rules(create=quotas.limit_range, meta_on_update=True),
    ("apps", "Deployment"): Rules(
        create=workloads.deployment,
        update=workloads.fixed_selector,
        subresources={"status": workloads.status("updatedReplicas", "readyReplicas", "availableReplicas")},
    ),
    ("apps", "ReplicaSet"): Rules(
        create=workloads.replica_set,
        update=workloads.fixed_selector,
        subresources={"status": workloads.status("fullyLabeledReplicas", "readyReplicas", "availableReplicas")},
    ),
    ("apps", "StatefulSet"): Rules(
        name=names.dns1123_label,
        create=workloads.stateful_set,
        update=workloads.stateful_set_update,
        create_on_update=False,
        subresources={
            "status": workloads.status(
                "readyReplicas",
                "currentReplicas",
                "updatedReplicas",
                "availableReplicas",
                ready="cannot be greater than status.readyReplicas",
            )
        },
    ),
    ("apps", "DaemonSet"): Rules(
        create=workloads.daemon_set,
        update=workloads.daemon_set_update,
        subresources={"status": workloads.daemon_set_status},
    ),
    ("apps", "ControllerRevision"): Rules(
        create=workloads.controller_revision,
        update=workloads.controller_revision_update,
        create_on_update=False,
        meta_on_update=True,
    ),
}
