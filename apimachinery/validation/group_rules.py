"""The table of rules for the groups besides core and apps."""

from __future__ import annotations

from apimachinery import names
from apimachinery.validation import (
    access,
    autoscaling,
    crds,
    events,
    flow,
    job_status,
    jobs,
    networking,
    policies,
    signing,
    slices,
    small_groups,
    storage,
    webhooks,
)
from apimachinery.validation.rules import Rules

RBAC = "rbac.authorization.k8s.io"
NETWORKING = "networking.k8s.io"
STORAGE = "storage.k8s.io"
ADMISSION = "admissionregistration.k8s.io"
FLOW = "flowcontrol.apiserver.k8s.io"


GROUPS: dict[tuple[str, str], Rules] = {
    ("batch", "Job"): Rules(
        create=jobs.job, update=jobs.job_update, create_on_update=False, subresources={"status": job_status.update}
    ),
    ("batch", "CronJob"): Rules(create=jobs.cron_job, update=jobs.cron_job_update, create_on_update=False),
    (NETWORKING, "Ingress"): Rules(
        create=networking.ingress,
        update=networking.ingress_update,
        create_on_update=False,
        meta_on_update=True,
        subresources={"status": networking.ingress_status},
    ),
    (NETWORKING, "IngressClass"): Rules(
        create=networking.ingress_class, update=networking.ingress_class_update, meta_on_update=True
    ),
    (NETWORKING, "NetworkPolicy"): Rules(
        create=networking.network_policy, update=networking.network_policy_update, create_on_update=False
    ),
    (NETWORKING, "ServiceCIDR"): Rules(
        create=networking.service_cidr, update=networking.service_cidr_update, create_on_update=False
    ),
    (NETWORKING, "IPAddress"): Rules(
        name=names.canonical_ip_address,
        create=networking.ip_address,
        update=networking.ip_address_update,
        create_on_update=False,
    ),
    ("discovery.k8s.io", "EndpointSlice"): Rules(
        create=slices.create, update=slices.update, create_on_update=False, meta_on_update=True
    ),
    (RBAC, "Role"): Rules(name=names.path_segment, create=access.role, meta_on_update=True),
    (RBAC, "ClusterRole"): Rules(name=names.path_segment, create=access.cluster_role, meta_on_update=True),
    (RBAC, "RoleBinding"): Rules(
        name=names.path_segment, create=access.role_binding, update=access.binding_update, meta_on_update=True
    ),
    (RBAC, "ClusterRoleBinding"): Rules(
        name=names.path_segment, create=access.cluster_role_binding, update=access.binding_update, meta_on_update=True
    ),
    ("policy", "PodDisruptionBudget"): Rules(
        create=small_groups.disruption_budget,
        core_finalizers=False,
        subresources={"status": small_groups.disruption_budget_status},
    ),
    ("autoscaling", "HorizontalPodAutoscaler"): Rules(
        create=autoscaling.autoscaler, subresources={"status": autoscaling.autoscaler_status}
    ),
    ("autoscaling", "Scale"): Rules(create=autoscaling.scale),
    ("coordination.k8s.io", "Lease"): Rules(create=small_groups.lease, core_finalizers=False),
    ("scheduling.k8s.io", "PriorityClass"): Rules(
        create=small_groups.priority_class, update=small_groups.priority_class_update, create_on_update=False
    ),
    ("node.k8s.io", "RuntimeClass"): Rules(
        create=small_groups.runtime_class, update=small_groups.runtime_class_update, create_on_update=False
    ),
    ("", "PersistentVolume"): Rules(
        create=storage.persistent_volume, update=storage.persistent_volume_update, meta_on_update=True
    ),
    (STORAGE, "StorageClass"): Rules(
        create=storage.storage_class, update=storage.storage_class_update, create_on_update=False
    ),
    (STORAGE, "VolumeAttributesClass"): Rules(
        create=storage.attributes_class, update=storage.attributes_class_update, create_on_update=False
    ),
    (STORAGE, "VolumeAttachment"): Rules(
        create=storage.volume_attachment, update=storage.volume_attachment_update, meta_on_update=True
    ),
    (STORAGE, "CSINode"): Rules(create=storage.csi_node, update=storage.csi_node_update, meta_on_update=True),
    (STORAGE, "CSIDriver"): Rules(create=storage.csi_driver, update=storage.csi_driver_update),
    ("events.k8s.io", "Event"): Rules(
        create=events.create, update=events.update, create_on_update=False, metadata=False
    ),
    ("certificates.k8s.io", "CertificateSigningRequest"): Rules(
        name=signing.any_name,
        create=signing.create,
        update=signing.update,
        create_on_update=False,
        subresources={"status": signing.status_update, "approval": signing.approval_update},
    ),
    (ADMISSION, "ValidatingWebhookConfiguration"): Rules(
        create=webhooks.create, update=webhooks.update, create_on_update=False, core_finalizers=False
    ),
    (ADMISSION, "MutatingWebhookConfiguration"): Rules(
        create=webhooks.create, update=webhooks.update, create_on_update=False, core_finalizers=False
    ),
    (ADMISSION, "ValidatingAdmissionPolicy"): Rules(
        create=policies.policy,
        update=policies.policy_update,
        create_on_update=False,
        core_finalizers=False,
        subresources={"status": policies.policy_status},
    ),
    (ADMISSION, "ValidatingAdmissionPolicyBinding"): Rules(create=policies.binding, core_finalizers=False),
    (ADMISSION, "MutatingAdmissionPolicy"): Rules(
        create=policies.mutating_policy,
        update=policies.mutating_policy_update,
        create_on_update=False,
        core_finalizers=False,
    ),
    (ADMISSION, "MutatingAdmissionPolicyBinding"): Rules(create=policies.mutating_binding, core_finalizers=False),
    ("apiextensions.k8s.io", "CustomResourceDefinition"): Rules(
        create=crds.create,
        update=crds.update,
        create_on_update=False,
        core_finalizers=False,
        subresources={"status": crds.status_update},
    ),
    (FLOW, "FlowSchema"): Rules(create=flow.schema, core_finalizers=False, subresources={"status": flow.status}),
    (FLOW, "PriorityLevelConfiguration"): Rules(
        create=flow.level, core_finalizers=False, subresources={"status": flow.status}
    ),
    ("apiregistration.k8s.io", "APIService"): Rules(
        name=names.path_segment,
        create=flow.api_service,
        core_finalizers=False,
        subresources={"status": flow.api_service_status},
    ),
}
