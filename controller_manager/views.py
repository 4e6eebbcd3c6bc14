"""What controllers read of objects, whatever their kind. Templates stay raw, so fields unknown here are never lost."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Struct, field

from apimachinery.placement import NodeSelector
from kubeclient.views import LabelSelector, Meta


class AnyObject(Struct, frozen=True):
    """Metadata alone, of any kind."""

    metadata: Meta
    apiVersion: str = ""
    kind: str = ""


class Condition(Struct, frozen=True):
    type: str
    status: str
    reason: str = ""
    message: str = ""
    lastTransitionTime: str | None = None
    lastUpdateTime: str | None = None
    lastHeartbeatTime: str | None = None
    lastProbeTime: str | None = None
    observedGeneration: int | None = None


def condition(conditions: list[Condition], kind: str) -> Condition | None:
    return next((c for c in conditions if c.type == kind), None)


# -- Pods


class ContainerPort(Struct, frozen=True):
    containerPort: int = 0
    name: str = ""
    protocol: str = "TCP"


class Container(Struct, frozen=True):
    name: str = ""
    ports: list[ContainerPort] = field(default_factory=list)
    restartPolicy: str = ""


class Toleration(Struct, frozen=True):
    key: str = ""
    operator: str = "Equal"
    value: str = ""
    effect: str = ""
    tolerationSeconds: int | None = None


class NodeAffinity(Struct, frozen=True):
    requiredDuringSchedulingIgnoredDuringExecution: NodeSelector | None = None


class Affinity(Struct, frozen=True):
    nodeAffinity: NodeAffinity | None = None


class ClaimSource(Struct, frozen=True):
    claimName: str = ""


class Volume(Struct, frozen=True):
    name: str = ""
    persistentVolumeClaim: ClaimSource | None = None
    ephemeral: dict[str, Any] | None = None


class PodSpec(Struct, frozen=True):
    nodeName: str = ""
    nodeSelector: dict[str, str] = field(default_factory=dict)
    affinity: Affinity | None = None
    volumes: list[Volume] = field(default_factory=list)
    hostname: str = ""
    subdomain: str = ""
    hostNetwork: bool = False
    restartPolicy: str = "Always"
    containers: list[Container] = field(default_factory=list)
    initContainers: list[Container] = field(default_factory=list)
    tolerations: list[Toleration] = field(default_factory=list)
    serviceAccountName: str = ""
    terminationGracePeriodSeconds: int | None = None


class PodIP(Struct, frozen=True):
    ip: str = ""


class Terminated(Struct, frozen=True):
    exitCode: int = 0
    finishedAt: str | None = None


class ContainerState(Struct, frozen=True):
    terminated: Terminated | None = None


class ContainerStatus(Struct, frozen=True):
    name: str = ""
    restartCount: int = 0
    state: ContainerState = ContainerState()


class PodStatus(Struct, frozen=True):
    phase: str = ""
    podIP: str = ""
    podIPs: list[PodIP] = field(default_factory=list)
    conditions: list[Condition] = field(default_factory=list)
    containerStatuses: list[ContainerStatus] = field(default_factory=list)
    initContainerStatuses: list[ContainerStatus] = field(default_factory=list)
    startTime: str | None = None
    reason: str = ""


class Pod(Struct, frozen=True):
    metadata: Meta
    spec: PodSpec = PodSpec()
    status: PodStatus = PodStatus()

    @property
    def is_terminal(self) -> bool:
        return self.status.phase in ("Succeeded", "Failed")

    @property
    def is_active(self) -> bool:
        """Counts as a replica: neither ended nor asked to end."""
        return not self.is_terminal and self.metadata.deletionTimestamp is None

    @property
    def is_ready(self) -> bool:
        ready = condition(self.status.conditions, "Ready")
        return ready is not None and ready.status == "True"


# -- ReplicaSets and Deployments


class ReplicaSetSpec(Struct, frozen=True):
    selector: LabelSelector
    replicas: int = 1
    minReadySeconds: int = 0
    template: msgspec.Raw = msgspec.Raw(b"{}")


class ReplicaSetStatus(Struct, frozen=True):
    replicas: int = 0
    fullyLabeledReplicas: int = 0
    readyReplicas: int = 0
    availableReplicas: int = 0
    terminatingReplicas: int | None = None
    observedGeneration: int = 0
    conditions: list[Condition] = field(default_factory=list)


class ReplicaSet(Struct, frozen=True):
    metadata: Meta
    spec: ReplicaSetSpec
    status: ReplicaSetStatus = ReplicaSetStatus()


class ReplicationControllerSpec(Struct, frozen=True):
    selector: dict[str, str] = field(default_factory=dict)
    replicas: int = 1
    minReadySeconds: int = 0
    template: msgspec.Raw = msgspec.Raw(b"{}")


class ReplicationController(Struct, frozen=True):
    metadata: Meta
    spec: ReplicationControllerSpec = ReplicationControllerSpec()
    status: ReplicaSetStatus = ReplicaSetStatus()


class RollingUpdate(Struct, frozen=True):
    maxUnavailable: int | str = "25%"
    maxSurge: int | str = "25%"


class Strategy(Struct, frozen=True):
    type: str = "RollingUpdate"
    rollingUpdate: RollingUpdate | None = None


class DeploymentSpec(Struct, frozen=True):
    selector: LabelSelector
    replicas: int = 1
    template: msgspec.Raw = msgspec.Raw(b"{}")
    strategy: Strategy = Strategy()
    minReadySeconds: int = 0
    revisionHistoryLimit: int | None = 10
    paused: bool = False
    progressDeadlineSeconds: int | None = 600


class DeploymentStatus(Struct, frozen=True):
    observedGeneration: int = 0
    replicas: int = 0
    updatedReplicas: int = 0
    readyReplicas: int = 0
    availableReplicas: int = 0
    unavailableReplicas: int = 0
    terminatingReplicas: int | None = None
    collisionCount: int | None = None
    conditions: list[Condition] = field(default_factory=list)


class Deployment(Struct, frozen=True):
    metadata: Meta
    spec: DeploymentSpec
    status: DeploymentStatus = DeploymentStatus()


def decoded(raw: msgspec.Raw) -> dict[str, Any]:
    """A fresh, mutable copy of a raw part of an object."""
    value: dict[str, Any] = msgspec.json.decode(raw)
    return value


# -- Services and what stands behind them


class ServicePort(Struct, frozen=True):
    port: int
    name: str = ""
    protocol: str = "TCP"
    targetPort: int | str | None = None
    appProtocol: str | None = None


class ServiceSpec(Struct, frozen=True):
    selector: dict[str, str] | None = None
    ports: list[ServicePort] = field(default_factory=list)
    clusterIP: str = ""
    ipFamilies: list[str] = field(default_factory=list)
    type: str = "ClusterIP"
    publishNotReadyAddresses: bool = False


class Service(Struct, frozen=True):
    metadata: Meta
    spec: ServiceSpec = ServiceSpec()


class EndpointConditions(Struct, frozen=True):
    ready: bool | None = None
    serving: bool | None = None
    terminating: bool | None = None


class ObjectReference(Struct, frozen=True, omit_defaults=True):
    kind: str = ""
    namespace: str = ""
    name: str = ""
    uid: str = ""


class Endpoint(Struct, frozen=True, omit_defaults=True):
    addresses: list[str]
    conditions: EndpointConditions = EndpointConditions()
    hostname: str | None = None
    nodeName: str | None = None
    targetRef: ObjectReference | None = None
    zone: str | None = None


class EndpointPort(Struct, frozen=True):
    name: str = ""
    port: int | None = None
    protocol: str = "TCP"
    appProtocol: str | None = None


class EndpointSlice(Struct, frozen=True):
    metadata: Meta
    addressType: str = "IPv4"
    endpoints: list[Endpoint] | None = None
    ports: list[EndpointPort] | None = None


class EndpointAddress(Struct, frozen=True, omit_defaults=True):
    ip: str
    hostname: str = ""
    nodeName: str | None = None
    targetRef: ObjectReference | None = None


class EndpointSubset(Struct, frozen=True):
    addresses: list[EndpointAddress] | None = None
    notReadyAddresses: list[EndpointAddress] | None = None
    ports: list[EndpointPort] | None = None


class Endpoints(Struct, frozen=True):
    metadata: Meta
    subsets: list[EndpointSubset] | None = None


# -- Nodes, namespaces, accounts


class Taint(Struct, frozen=True, omit_defaults=True):
    key: str
    effect: str
    value: str = ""
    timeAdded: str | None = None


class NodeSpec(Struct, frozen=True):
    podCIDR: str = ""
    podCIDRs: list[str] = field(default_factory=list)
    unschedulable: bool = False
    taints: list[Taint] = field(default_factory=list)
    providerID: str = ""


class NodeStatus(Struct, frozen=True):
    conditions: list[Condition] = field(default_factory=list)


class Node(Struct, frozen=True):
    metadata: Meta
    spec: NodeSpec = NodeSpec()
    status: NodeStatus = NodeStatus()


class LeaseSpec(Struct, frozen=True):
    renewTime: str | None = None
    holderIdentity: str | None = None


class Lease(Struct, frozen=True):
    metadata: Meta
    spec: LeaseSpec = LeaseSpec()


class NamespaceSpec(Struct, frozen=True):
    finalizers: list[str] = field(default_factory=list)


class NamespaceStatus(Struct, frozen=True):
    phase: str = ""
    conditions: list[Condition] = field(default_factory=list)


class Namespace(Struct, frozen=True):
    metadata: Meta
    spec: NamespaceSpec = NamespaceSpec()
    status: NamespaceStatus = NamespaceStatus()


class ServiceAccount(Struct, frozen=True):
    metadata: Meta
    secrets: list[ObjectReference] = field(default_factory=list)


class Secret(Struct, frozen=True):
    """Keys of `data` alone matter here, and the token; values stay base64."""

    metadata: Meta
    type: str = ""
    data: dict[str, str] = field(default_factory=dict)


class ConfigMap(Struct, frozen=True):
    metadata: Meta
    data: dict[str, str] = field(default_factory=dict)


class CertificateSigningRequestSpec(Struct, frozen=True):
    request: str = ""
    signerName: str = ""
    usages: list[str] = field(default_factory=list)
    username: str = ""
    groups: list[str] = field(default_factory=list)
    expirationSeconds: int | None = None


class CertificateSigningRequestStatus(Struct, frozen=True):
    certificate: str = ""
    conditions: list[Condition] = field(default_factory=list)


class CertificateSigningRequest(Struct, frozen=True):
    metadata: Meta
    spec: CertificateSigningRequestSpec = CertificateSigningRequestSpec()
    status: CertificateSigningRequestStatus = CertificateSigningRequestStatus()
