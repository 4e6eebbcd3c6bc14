"""What the server fills into an object that leaves fields out, by kind.

`apply` works in place and runs on every write of an object, after decoding and before admission; what is stored is not
touched again on reads. Besides upstream's defaults it writes the few fields which upstream's encoder never omits.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from apimachinery.defaults import (
    admissionregistration,
    apiextensions,
    apps,
    autoscaling,
    batch,
    core,
    flowcontrol,
    networking,
    pods,
    rbac,
    storage,
)

if TYPE_CHECKING:
    from apimachinery.resources import ResourceInfo

Defaulter = Callable[[dict[str, Any]], None]

#: (group, kind) -> its defaults; kinds which differ between versions stand in `_BY_VERSION`
_BY_KIND: dict[tuple[str, str], Defaulter] = {
    ("", "Pod"): pods.pod,
    ("", "Service"): core.service,
    ("", "Namespace"): core.namespace,
    ("", "Node"): core.node,
    ("", "Secret"): core.secret,
    ("", "Endpoints"): core.endpoints,
    ("", "PersistentVolume"): core.persistent_volume,
    ("", "PersistentVolumeClaim"): core.persistent_volume_claim,
    ("", "ReplicationController"): core.replication_controller,
    ("", "PodTemplate"): core.pod_template,
    ("", "LimitRange"): core.limit_range,
    ("", "ResourceQuota"): core.resource_quota,
    ("", "Event"): core.event,
    ("apps", "Deployment"): apps.deployment,
    ("apps", "ReplicaSet"): apps.replica_set,
    ("apps", "DaemonSet"): apps.daemon_set,
    ("apps", "StatefulSet"): apps.stateful_set,
    ("batch", "Job"): batch.job,
    ("batch", "CronJob"): batch.cron_job,
    ("autoscaling", "HorizontalPodAutoscaler"): autoscaling.horizontal_pod_autoscaler,
    ("admissionregistration.k8s.io", "ValidatingWebhookConfiguration"): admissionregistration.validating_webhooks,
    ("admissionregistration.k8s.io", "MutatingWebhookConfiguration"): admissionregistration.mutating_webhooks,
    ("admissionregistration.k8s.io", "ValidatingAdmissionPolicy"): admissionregistration.policy,
    ("admissionregistration.k8s.io", "MutatingAdmissionPolicy"): admissionregistration.policy,
    ("admissionregistration.k8s.io", "ValidatingAdmissionPolicyBinding"): admissionregistration.binding,
    ("admissionregistration.k8s.io", "MutatingAdmissionPolicyBinding"): admissionregistration.binding,
    ("apiextensions.k8s.io", "CustomResourceDefinition"): apiextensions.custom_resource_definition,
    ("apiregistration.k8s.io", "APIService"): apiextensions.api_service,
    ("discovery.k8s.io", "EndpointSlice"): networking.endpoint_slice,
    ("networking.k8s.io", "NetworkPolicy"): networking.network_policy,
    ("networking.k8s.io", "Ingress"): networking.ingress,
    ("networking.k8s.io", "IngressClass"): networking.ingress_class,
    ("rbac.authorization.k8s.io", "Role"): rbac.role,
    ("rbac.authorization.k8s.io", "ClusterRole"): rbac.role,
    ("rbac.authorization.k8s.io", "RoleBinding"): rbac.binding,
    ("rbac.authorization.k8s.io", "ClusterRoleBinding"): rbac.binding,
    ("storage.k8s.io", "StorageClass"): storage.storage_class,
    ("storage.k8s.io", "CSIDriver"): storage.csi_driver,
    ("scheduling.k8s.io", "PriorityClass"): storage.priority_class,
    ("resource.k8s.io", "ResourceClaim"): storage.resource_claim,
    ("resource.k8s.io", "ResourceClaimTemplate"): storage.resource_claim_template,
    ("flowcontrol.apiserver.k8s.io", "FlowSchema"): flowcontrol.flow_schema,
    ("flowcontrol.apiserver.k8s.io", "PriorityLevelConfiguration"): flowcontrol.priority_level,
}
_BY_VERSION: dict[tuple[str, str, str], Defaulter] = {
    ("autoscaling", "v1", "HorizontalPodAutoscaler"): autoscaling.horizontal_pod_autoscaler_v1,
}


def apply(info: ResourceInfo, obj: dict[str, Any]) -> None:
    """Fill in the defaults of `info.kind` in place; a kind without any is left as it is."""
    if info.custom is not None:
        info.custom.default(obj)
        return
    defaulter = _BY_VERSION.get((info.group, info.version, info.kind)) or _BY_KIND.get((info.group, info.kind))
    if defaulter is not None:
        defaulter(obj)
