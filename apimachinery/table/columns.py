"""The columns of every built-in kind, as clients see them in a Table.

One line a column: `Name | type | format | priority | where its description comes from`. The last is a field of the API
schema (`PodStatus.podIP`, looked up there), or a sentence of ours; `-` stands for the column's own name.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from apimachinery.schema.definitions import load, short_name

NAME = "Name|string|name|0|ObjectMeta.name"
AGE = "Age|string||0|ObjectMeta.creationTimestamp"
_TEMPLATE = (
    "Containers|string||1|Names of the containers in the template.",
    "Images|string||1|Images of the containers in the template.",
)
_WEBHOOKS = (NAME, "Webhooks|integer||0|How many webhooks this configuration holds.", AGE)
_BINDING = (
    "Users|string||1|Users the role is given to.",
    "Groups|string||1|Groups the role is given to.",
    "ServiceAccounts|string||1|Service accounts the role is given to.",
)
_POLICY_BINDING = (
    NAME,
    "PolicyName|string||0|The policy that is bound.",
    "ParamRef|string||0|The parameters given to the policy.",
    AGE,
)

#: What kinds without a table of their own show.
DEFAULT = (NAME, "Created At|date||0|ObjectMeta.creationTimestamp")

COLUMNS: dict[tuple[str, str], tuple[str, ...]] = {
    ("", "Pod"): (
        NAME,
        "Ready|string||0|How many containers are ready, of how many.",
        "Status|string||0|The pod's state, summed up from its containers'.",
        "Restarts|string||0|How often containers were restarted, and when last.",
        AGE,
        "IP|string||1|PodStatus.podIP",
        "Node|string||1|PodSpec.nodeName",
        "Nominated Node|string||1|PodStatus.nominatedNodeName",
        "Readiness Gates|string||1|PodSpec.readinessGates",
    ),
    ("", "PodTemplate"): (
        NAME,
        "Containers|string||0|Names of the containers in the template.",
        "Images|string||0|Images of the containers in the template.",
        "Pod Labels|string||0|The labels of the template.",
    ),
    ("policy", "PodDisruptionBudget"): (
        NAME,
        "Min Available|string||0|How many pods must stay available.",
        "Max Unavailable|string||0|How many pods may be unavailable.",
        "Allowed Disruptions|integer||0|How many pods may be disrupted now.",
        AGE,
    ),
    ("", "ReplicationController"): (
        NAME,
        "Desired|integer||0|ReplicationControllerSpec.replicas",
        "Current|integer||0|ReplicationControllerStatus.replicas",
        "Ready|integer||0|ReplicationControllerStatus.readyReplicas",
        AGE,
        *_TEMPLATE,
        "Selector|string||1|ReplicationControllerSpec.selector",
    ),
    ("apps", "ReplicaSet"): (
        NAME,
        "Desired|integer||0|ReplicaSetSpec.replicas",
        "Current|integer||0|ReplicaSetStatus.replicas",
        "Ready|integer||0|ReplicaSetStatus.readyReplicas",
        AGE,
        *_TEMPLATE,
        "Selector|string||1|ReplicaSetSpec.selector",
    ),
    ("apps", "DaemonSet"): (
        NAME,
        "Desired|integer||0|DaemonSetStatus.desiredNumberScheduled",
        "Current|integer||0|DaemonSetStatus.currentNumberScheduled",
        "Ready|integer||0|DaemonSetStatus.numberReady",
        "Up-to-date|integer||0|DaemonSetStatus.updatedNumberScheduled",
        "Available|integer||0|DaemonSetStatus.numberAvailable",
        "Node Selector|string||0|PodSpec.nodeSelector",
        AGE,
        *_TEMPLATE,
        "Selector|string||1|DaemonSetSpec.selector",
    ),
    ("batch", "Job"): (
        NAME,
        "Status|string||0|Status of the job.",
        "Completions|string||0|JobStatus.succeeded",
        "Duration|string||0|How long the job has been running, or ran.",
        AGE,
        *_TEMPLATE,
        "Selector|string||1|JobSpec.selector",
    ),
    ("batch", "CronJob"): (
        NAME,
        "Schedule|string||0|CronJobSpec.schedule",
        "Timezone|string||0|CronJobSpec.timeZone",
        "Suspend|boolean||0|CronJobSpec.suspend",
        "Active|integer||0|CronJobStatus.active",
        "Last Schedule|string||0|CronJobStatus.lastScheduleTime",
        AGE,
        *_TEMPLATE,
        "Selector|string||1|JobSpec.selector",
    ),
    ("", "Service"): (
        NAME,
        "Type|string||0|ServiceSpec.type",
        "Cluster-IP|string||0|ServiceSpec.clusterIP",
        "External-IP|string||0|ServiceSpec.externalIPs",
        "Port(s)|string||0|ServiceSpec.ports",
        AGE,
        "Selector|string||1|ServiceSpec.selector",
    ),
    ("networking.k8s.io", "Ingress"): (
        NAME,
        "Class|string||0|The IngressClass which configures it.",
        "Hosts|string||0|Hosts the rules are for.",
        "Address|string||0|Where its load balancer listens.",
        "Ports|string||0|Ports which it opens.",
        AGE,
    ),
    ("networking.k8s.io", "IngressClass"): (
        NAME,
        "Controller|string||0|The controller which handles this class.",
        "Parameters|string||0|The object with further parameters.",
        AGE,
    ),
    ("apps", "StatefulSet"): (NAME, "Ready|string||0|How many pods are ready, of how many.", AGE, *_TEMPLATE),
    ("", "Endpoints"): (NAME, "Endpoints|string||0|Endpoints.subsets", AGE),
    ("", "Node"): (
        NAME,
        "Status|string||0|The status of the node",
        "Roles|string||0|The roles of the node",
        AGE,
        "Version|string||0|NodeSystemInfo.kubeletVersion",
        "Internal-IP|string||1|NodeStatus.addresses",
        "External-IP|string||1|NodeStatus.addresses",
        "OS-Image|string||1|NodeSystemInfo.osImage",
        "Kernel-Version|string||1|NodeSystemInfo.kernelVersion",
        "Container-Runtime|string||1|NodeSystemInfo.containerRuntimeVersion",
    ),
    ("", "Event"): (
        "Last Seen|string||0|Event.lastTimestamp",
        "Type|string||0|Event.type",
        "Reason|string||0|Event.reason",
        "Object|string||0|Event.involvedObject",
        "Subobject|string||1|ObjectReference.fieldPath",
        "Source|string||1|Event.source",
        "Message|string||0|Event.message",
        "First Seen|string||1|Event.firstTimestamp",
        "Count|string||1|Event.count",
        "Name|string|name|1|ObjectMeta.name",
    ),
    ("", "Namespace"): (NAME, "Status|string||0|The status of the namespace", AGE),
    ("", "Secret"): (NAME, "Type|string||0|Secret.type", "Data|string||0|Secret.data", AGE),
    ("", "ServiceAccount"): (NAME, AGE),
    ("", "PersistentVolume"): (
        NAME,
        "Capacity|string||0|PersistentVolumeSpec.capacity",
        "Access Modes|string||0|PersistentVolumeSpec.accessModes",
        "Reclaim Policy|string||0|PersistentVolumeSpec.persistentVolumeReclaimPolicy",
        "Status|string||0|PersistentVolumeStatus.phase",
        "Claim|string||0|PersistentVolumeSpec.claimRef",
        "StorageClass|string||0|StorageClass of the pv",
        "VolumeAttributesClass|string||0|VolumeAttributesClass of the pv",
        "Reason|string||0|PersistentVolumeStatus.reason",
        AGE,
        "VolumeMode|string||1|PersistentVolumeSpec.volumeMode",
    ),
    ("", "PersistentVolumeClaim"): (
        NAME,
        "Status|string||0|PersistentVolumeClaimStatus.phase",
        "Volume|string||0|PersistentVolumeClaimSpec.volumeName",
        "Capacity|string||0|PersistentVolumeClaimStatus.capacity",
        "Access Modes|string||0|PersistentVolumeClaimStatus.accessModes",
        "StorageClass|string||0|StorageClass of the pvc",
        "VolumeAttributesClass|string||0|VolumeAttributesClass of the pvc",
        AGE,
        "VolumeMode|string||1|PersistentVolumeClaimSpec.volumeMode",
    ),
    ("", "ComponentStatus"): (
        NAME,
        "Status|string||0|Status of the component conditions",
        "Message|string||0|Message of the component conditions",
        "Error|string||0|Error of the component conditions",
    ),
    ("apps", "Deployment"): (
        NAME,
        "Ready|string||0|How many pods are ready, of how many.",
        "Up-to-date|string||0|DeploymentStatus.updatedReplicas",
        "Available|string||0|DeploymentStatus.availableReplicas",
        AGE,
        *_TEMPLATE,
        "Selector|string||1|DeploymentSpec.selector",
    ),
    ("autoscaling", "HorizontalPodAutoscaler"): (
        NAME,
        "Reference|string||0|HorizontalPodAutoscalerSpec.scaleTargetRef",
        "Targets|string||0|HorizontalPodAutoscalerSpec.metrics",
        "MinPods|string||0|HorizontalPodAutoscalerSpec.minReplicas",
        "MaxPods|string||0|HorizontalPodAutoscalerSpec.maxReplicas",
        "Replicas|string||0|HorizontalPodAutoscalerStatus.currentReplicas",
        AGE,
    ),
    ("", "ConfigMap"): (NAME, "Data|string||0|ConfigMap.data", AGE),
    ("networking.k8s.io", "NetworkPolicy"): (NAME, "Pod-Selector|string||0|NetworkPolicySpec.podSelector", AGE),
    ("rbac.authorization.k8s.io", "RoleBinding"): (NAME, "Role|string||0|RoleBinding.roleRef", AGE, *_BINDING),
    ("rbac.authorization.k8s.io", "ClusterRoleBinding"): (
        NAME,
        "Role|string||0|ClusterRoleBinding.roleRef",
        AGE,
        *_BINDING,
    ),
    ("certificates.k8s.io", "CertificateSigningRequest"): (
        NAME,
        AGE,
        "SignerName|string||0|CertificateSigningRequestSpec.signerName",
        "Requestor|string||0|CertificateSigningRequestSpec.request",
        "RequestedDuration|string||0|CertificateSigningRequestSpec.expirationSeconds",
        "Condition|string||0|CertificateSigningRequestStatus.conditions",
    ),
    ("certificates.k8s.io", "ClusterTrustBundle"): (NAME, "SignerName|string||0|ClusterTrustBundleSpec.signerName"),
    ("coordination.k8s.io", "Lease"): (NAME, "Holder|string||0|LeaseSpec.holderIdentity", AGE),
    ("storage.k8s.io", "StorageClass"): (
        NAME,
        "Provisioner|string||0|StorageClass.provisioner",
        "ReclaimPolicy|string||0|StorageClass.reclaimPolicy",
        "VolumeBindingMode|string||0|StorageClass.volumeBindingMode",
        "AllowVolumeExpansion|string||0|StorageClass.allowVolumeExpansion",
        AGE,
    ),
    ("storage.k8s.io", "VolumeAttributesClass"): (NAME, "DriverName|string||0|VolumeAttributesClass.driverName", AGE),
    ("apps", "ControllerRevision"): (
        NAME,
        "Controller|string||0|Controller of the object",
        "Revision|string||0|ControllerRevision.revision",
        AGE,
    ),
    ("", "ResourceQuota"): (
        NAME,
        "Request|string||0|What is used of the amounts that may be requested.",
        "Limit|string||0|What is used of the amounts that limits may sum up to.",
        AGE,
    ),
    ("scheduling.k8s.io", "PriorityClass"): (
        NAME,
        "Value|integer||0|PriorityClass.value",
        "Global-Default|boolean||0|PriorityClass.globalDefault",
        AGE,
        "PreemptionPolicy|string||0|PriorityClass.preemptionPolicy",
    ),
    ("node.k8s.io", "RuntimeClass"): (NAME, "Handler|string||0|RuntimeClass.handler", AGE),
    ("storage.k8s.io", "VolumeAttachment"): (
        NAME,
        "Attacher|string|name|0|VolumeAttachmentSpec.attacher",
        "PV|string||0|VolumeAttachmentSource.persistentVolumeName",
        "Node|string||0|VolumeAttachmentSpec.nodeName",
        "Attached|boolean||0|VolumeAttachmentStatus.attached",
        AGE,
    ),
    ("discovery.k8s.io", "EndpointSlice"): (
        NAME,
        "AddressType|string||0|EndpointSlice.addressType",
        "Ports|string||0|EndpointSlice.ports",
        "Endpoints|string||0|EndpointSlice.endpoints",
        AGE,
    ),
    ("storage.k8s.io", "CSINode"): (NAME, "Drivers|integer||0|How many CSI drivers the node has.", AGE),
    ("storage.k8s.io", "CSIDriver"): (
        NAME,
        "AttachRequired|boolean||0|CSIDriverSpec.attachRequired",
        "PodInfoOnMount|boolean||0|CSIDriverSpec.podInfoOnMount",
        "StorageCapacity|boolean||0|CSIDriverSpec.storageCapacity",
        "TokenRequests|string||0|CSIDriverSpec.tokenRequests",
        "RequiresRepublish|boolean||0|CSIDriverSpec.requiresRepublish",
        "Modes|string||0|CSIDriverSpec.volumeLifecycleModes",
        AGE,
    ),
    ("admissionregistration.k8s.io", "MutatingWebhookConfiguration"): _WEBHOOKS,
    ("admissionregistration.k8s.io", "ValidatingWebhookConfiguration"): _WEBHOOKS,
    ("admissionregistration.k8s.io", "ValidatingAdmissionPolicy"): (
        NAME,
        "Validations|integer||0|How many rules this policy holds.",
        "ParamKind|string||0|The kind of the policy's parameters.",
        AGE,
    ),
    ("admissionregistration.k8s.io", "ValidatingAdmissionPolicyBinding"): _POLICY_BINDING,
    ("admissionregistration.k8s.io", "MutatingAdmissionPolicy"): (
        NAME,
        "Mutations|integer||0|How many mutations this policy holds.",
        "ParamKind|string||0|The kind of the policy's parameters.",
        AGE,
    ),
    ("admissionregistration.k8s.io", "MutatingAdmissionPolicyBinding"): _POLICY_BINDING,
    ("flowcontrol.apiserver.k8s.io", "FlowSchema"): (
        NAME,
        "PriorityLevel|string||0|PriorityLevelConfigurationReference.name",
        "MatchingPrecedence|string||0|FlowSchemaSpec.matchingPrecedence",
        "DistinguisherMethod|string||0|FlowSchemaSpec.distinguisherMethod",
        AGE,
        "MissingPL|string||0|Whether its PriorityLevelConfiguration is missing.",
    ),
    ("flowcontrol.apiserver.k8s.io", "PriorityLevelConfiguration"): (
        NAME,
        "Type|string||0|PriorityLevelConfigurationSpec.type",
        "NominalConcurrencyShares|string||0|LimitedPriorityLevelConfiguration.nominalConcurrencyShares",
        "Queues|string||0|QueuingConfiguration.queues",
        "HandSize|string||0|QueuingConfiguration.handSize",
        "QueueLengthLimit|string||0|QueuingConfiguration.queueLengthLimit",
        AGE,
    ),
    ("apiregistration.k8s.io", "APIService"): (
        NAME,
        "Service|string||0|The service that answers for this API.",
        "Available|string||0|Whether this service is available.",
        AGE,
    ),
    ("resource.k8s.io", "DeviceClass"): (NAME, AGE),
    ("resource.k8s.io", "ResourceClaim"): (NAME, "State|string||0|Allocated, pending, reserved, ...", AGE),
    ("resource.k8s.io", "ResourceClaimTemplate"): (NAME, AGE),
    ("resource.k8s.io", "ResourceSlice"): (
        NAME,
        "Node|string||0|ResourceSliceSpec.nodeName",
        "Driver|string||0|ResourceSliceSpec.driver",
        "Pool|string||0|ResourcePool.name",
        AGE,
    ),
    ("networking.k8s.io", "ServiceCIDR"): (NAME, "CIDRs|string||0|ServiceCIDRSpec.cidrs", AGE),
    # Upstream's rows carry an age here, its columns do not.
    ("networking.k8s.io", "IPAddress"): (NAME, "ParentRef|string||0|IPAddressSpec.parentRef"),
}
#: events.k8s.io shows the same objects as the core group does.
COLUMNS[("events.k8s.io", "Event")] = COLUMNS[("", "Event")]


@cache
def definitions(group: str, kind: str) -> tuple[dict[str, Any], ...]:
    """The `columnDefinitions` of a kind; shared, so not to be changed."""
    return tuple(definition(line) for line in COLUMNS.get((group, kind), DEFAULT))


def definition(line: str) -> dict[str, Any]:
    name, kind, form, priority, source = line.split("|")
    return {
        "name": name,
        "type": kind,
        "format": form,
        "description": _described(source),
        "priority": int(priority),
    }


def _described(source: str) -> str:
    """A sentence as it is, the description of a schema's field where one is named."""
    return source if " " in source else _descriptions().get(source, "")


_FIELDS = {
    line.rpartition("|")[2]
    for lines in (DEFAULT, *COLUMNS.values())
    for line in lines
    if " " not in line.rpartition("|")[2]
}


@cache
def _descriptions() -> dict[str, str]:
    """Of the schema only what the tables above name: its descriptions weigh megabytes."""
    found: dict[str, str] = {}
    # Where groups share a definition's name, the core group is meant, else the newest version.
    for full, schema in sorted(load().items(), key=lambda item: (".core.v1." in item[0], item[0].split(".")[-2])):
        short = short_name(full)
        for field, details in (schema.get("properties") or {}).items():
            if f"{short}.{field}" in _FIELDS and details.get("description"):
                found[f"{short}.{field}"] = details["description"]
    return found
