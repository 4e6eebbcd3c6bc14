"""Objects as rows of a Table (`kubectl get`): columns and cells of every built-in kind.

Cells of all priorities are always filled in, the client leaves out what its width does not ask for.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from apimachinery import timestamps
from apimachinery.table import core, custom, groups, pods, workloads
from apimachinery.table.columns import definitions

if TYPE_CHECKING:
    from apimachinery.resources import ResourceInfo

Obj = dict[str, Any]
Row = Callable[[Obj, float], list[Any]]

_ROWS: dict[tuple[str, str], Row] = {
    ("", "Pod"): pods.row,
    ("", "PodTemplate"): workloads.pod_template,
    ("", "ReplicationController"): workloads.replication_controller,
    ("", "Service"): core.service,
    ("", "Endpoints"): core.endpoints,
    ("", "Node"): core.node,
    ("", "Event"): core.event,
    ("events.k8s.io", "Event"): core.event,
    ("", "Namespace"): core.namespace,
    ("", "Secret"): core.secret,
    ("", "ConfigMap"): core.config_map,
    ("", "ServiceAccount"): core.name_and_age,
    ("", "PersistentVolume"): core.persistent_volume,
    ("", "PersistentVolumeClaim"): core.persistent_volume_claim,
    ("", "ComponentStatus"): core.component_status,
    ("", "ResourceQuota"): core.resource_quota,
    ("apps", "Deployment"): workloads.deployment,
    ("apps", "ReplicaSet"): workloads.replica_set,
    ("apps", "StatefulSet"): workloads.stateful_set,
    ("apps", "DaemonSet"): workloads.daemon_set,
    ("apps", "ControllerRevision"): workloads.controller_revision,
    ("batch", "Job"): workloads.job,
    ("batch", "CronJob"): workloads.cron_job,
    ("policy", "PodDisruptionBudget"): workloads.disruption_budget,
    ("autoscaling", "HorizontalPodAutoscaler"): workloads.autoscaler,
    ("networking.k8s.io", "Ingress"): groups.ingress,
    ("networking.k8s.io", "IngressClass"): groups.ingress_class,
    ("networking.k8s.io", "NetworkPolicy"): groups.network_policy,
    ("networking.k8s.io", "ServiceCIDR"): groups.service_cidr,
    ("networking.k8s.io", "IPAddress"): groups.ip_address,
    ("discovery.k8s.io", "EndpointSlice"): groups.endpoint_slice,
    ("rbac.authorization.k8s.io", "RoleBinding"): groups.role_binding,
    ("rbac.authorization.k8s.io", "ClusterRoleBinding"): groups.role_binding,
    ("certificates.k8s.io", "CertificateSigningRequest"): groups.certificate_request,
    ("certificates.k8s.io", "ClusterTrustBundle"): groups.trust_bundle,
    ("coordination.k8s.io", "Lease"): groups.lease,
    ("storage.k8s.io", "StorageClass"): groups.storage_class,
    ("storage.k8s.io", "VolumeAttributesClass"): groups.attributes_class,
    ("storage.k8s.io", "VolumeAttachment"): groups.volume_attachment,
    ("storage.k8s.io", "CSINode"): groups.csi_node,
    ("storage.k8s.io", "CSIDriver"): groups.csi_driver,
    ("admissionregistration.k8s.io", "MutatingWebhookConfiguration"): groups.webhooks,
    ("admissionregistration.k8s.io", "ValidatingWebhookConfiguration"): groups.webhooks,
    ("admissionregistration.k8s.io", "ValidatingAdmissionPolicy"): groups.admission_policy,
    ("admissionregistration.k8s.io", "MutatingAdmissionPolicy"): groups.admission_policy,
    ("admissionregistration.k8s.io", "ValidatingAdmissionPolicyBinding"): groups.admission_policy_binding,
    ("admissionregistration.k8s.io", "MutatingAdmissionPolicyBinding"): groups.admission_policy_binding,
    ("flowcontrol.apiserver.k8s.io", "FlowSchema"): groups.flow_schema,
    ("flowcontrol.apiserver.k8s.io", "PriorityLevelConfiguration"): groups.priority_level,
    ("scheduling.k8s.io", "PriorityClass"): groups.priority_class,
    ("node.k8s.io", "RuntimeClass"): groups.runtime_class,
    ("apiregistration.k8s.io", "APIService"): groups.api_service,
    ("resource.k8s.io", "DeviceClass"): core.name_and_age,
    ("resource.k8s.io", "ResourceClaimTemplate"): core.name_and_age,
    ("resource.k8s.io", "ResourceClaim"): groups.resource_claim,
    ("resource.k8s.io", "ResourceSlice"): groups.resource_slice,
}


def columns(info: ResourceInfo) -> list[Obj]:
    """The `columnDefinitions` of a kind."""
    if info.custom is not None:
        return custom.columns(info.custom.columns)
    return list(definitions(info.group, info.kind))


def row(info: ResourceInfo, obj: Obj, now: float) -> list[Any]:
    """The cells of one object, in the order of `columns`."""
    if info.custom is not None:
        return custom.row(info.custom.columns, obj, now)
    special = _ROWS.get((info.group, info.kind))
    if special is not None:
        return special(obj, now)
    meta = obj.get("metadata") or {}
    created = timestamps.parse_or(meta.get("creationTimestamp"), 0.0)
    shown = timestamps.format(created) if meta.get("creationTimestamp") else "0001-01-01T00:00:00Z"
    return [meta.get("name") or "", shown]


def row_conditions(info: ResourceInfo, obj: Obj) -> list[Obj] | None:
    """The `conditions` of a row, which only completed pods have."""
    return pods.conditions(obj) if (info.group, info.kind) == ("", "Pod") else None
