"""How kinds differ in being written and removed; what is not listed follows the general rule."""

from __future__ import annotations

from apimachinery.resources import ResourceInfo

#: A PUT of an absent object creates it.
_CREATE_ON_UPDATE = frozenset(
    {
        "runtimeclasses.node.k8s.io",
        "rolebindings.rbac.authorization.k8s.io",
        "clusterrolebindings.rbac.authorization.k8s.io",
        "roles.rbac.authorization.k8s.io",
        "clusterroles.rbac.authorization.k8s.io",
        "leases.coordination.k8s.io",
        "limitranges",
        "events",
        "events.events.k8s.io",
        "services",
        "endpoints",
    }
)
#: A PUT must name the resourceVersion it replaces.
_CONDITIONAL_UPDATE = frozenset(
    {
        "runtimeclasses.node.k8s.io",
        "poddisruptionbudgets.policy",
        "csidrivers.storage.k8s.io",
        "csistoragecapacities.storage.k8s.io",
        "volumeattachments.storage.k8s.io",
        "csinodes.storage.k8s.io",
        "leases.coordination.k8s.io",
        "validatingadmissionpolicies.admissionregistration.k8s.io",
        "mutatingadmissionpolicies.admissionregistration.k8s.io",
        "mutatingwebhookconfigurations.admissionregistration.k8s.io",
        "validatingwebhookconfigurations.admissionregistration.k8s.io",
        "mutatingadmissionpolicybindings.admissionregistration.k8s.io",
        "validatingadmissionpolicybindings.admissionregistration.k8s.io",
        "customresourcedefinitions.apiextensions.k8s.io",
        "apiservices.apiregistration.k8s.io",
    }
)
#: DELETE answers with the object as it was instead of a Status.
_ANSWERS_WITH_OBJECT = frozenset(
    {
        "namespaces",
        "persistentvolumes",
        "persistentvolumeclaims",
        "pods",
        "podtemplates",
        "resourcequotas",
        "services",
        "serviceaccounts",
        "deviceclasses.resource.k8s.io",
        "resourceclaims.resource.k8s.io",
        "resourceclaimtemplates.resource.k8s.io",
        "resourceslices.resource.k8s.io",
        "csidrivers.storage.k8s.io",
        "csinodes.storage.k8s.io",
        "storageclasses.storage.k8s.io",
        "volumeattachments.storage.k8s.io",
        "volumeattributesclasses.storage.k8s.io",
    }
)


def creates_on_update(info: ResourceInfo) -> bool:
    return info.group_resource in _CREATE_ON_UPDATE


def updates_unconditionally(info: ResourceInfo, builtin: bool) -> bool:
    return builtin and info.group_resource not in _CONDITIONAL_UPDATE


def answers_delete_with_object(info: ResourceInfo) -> bool:
    return info.group_resource in _ANSWERS_WITH_OBJECT


def orphans_by_default(info: ResourceInfo) -> bool:
    """Old clients of ReplicationControllers expect their pods to stay."""
    return info.group_resource == "replicationcontrollers"
