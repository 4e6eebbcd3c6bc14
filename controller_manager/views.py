"""What controllers read of objects, whatever their kind. Templates stay raw, so fields unknown here are never lost."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Struct, field


class OwnerReference(Struct, frozen=True):
    apiVersion: str
    kind: str
    name: str
    uid: str
    controller: bool = False
    blockOwnerDeletion: bool = False


class Meta(Struct, frozen=True):
    name: str = ""
    namespace: str = ""
    uid: str = ""
    resourceVersion: str = ""
    generation: int = 0
    creationTimestamp: str | None = None
    deletionTimestamp: str | None = None
    labels: dict[str, str] = field(default_factory=dict)
    annotations: dict[str, str] = field(default_factory=dict)
    ownerReferences: list[OwnerReference] = field(default_factory=list)
    finalizers: list[str] = field(default_factory=list)

    @property
    def key(self) -> str:
        return f"{self.namespace}/{self.name}" if self.namespace else self.name

    @property
    def controller(self) -> OwnerReference | None:
        return next((owner for owner in self.ownerReferences if owner.controller), None)


class AnyObject(Struct, frozen=True):
    """Metadata alone, of any kind."""

    metadata: Meta
    apiVersion: str = ""
    kind: str = ""


class Expression(Struct, frozen=True):
    key: str
    operator: str
    values: list[str] = field(default_factory=list)


class LabelSelector(Struct, frozen=True):
    matchLabels: dict[str, str] = field(default_factory=dict)
    matchExpressions: list[Expression] = field(default_factory=list)

    def matches(self, labels: dict[str, str]) -> bool:
        """An empty selector matches everything, as the API says."""
        if any(labels.get(key) != value for key, value in self.matchLabels.items()):
            return False
        return all(_expression_matches(e, labels) for e in self.matchExpressions)

    @property
    def is_empty(self) -> bool:
        return not self.matchLabels and not self.matchExpressions


def _expression_matches(expression: Expression, labels: dict[str, str]) -> bool:
    value = labels.get(expression.key)
    match expression.operator:
        case "In":
            return value is not None and value in expression.values
        case "NotIn":
            return value is None or value not in expression.values
        case "Exists":
            return value is not None
        case "DoesNotExist":
            return value is None
    return False


class Condition(Struct, frozen=True):
    type: str
    status: str
    reason: str = ""
    message: str = ""
    lastTransitionTime: str | None = None
    lastUpdateTime: str | None = None
    lastHeartbeatTime: str | None = None
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


class PodSpec(Struct, frozen=True):
    nodeName: str = ""
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


class ContainerStatus(Struct, frozen=True):
    name: str = ""
    restartCount: int = 0


class PodStatus(Struct, frozen=True):
    phase: str = ""
    podIP: str = ""
    podIPs: list[PodIP] = field(default_factory=list)
    conditions: list[Condition] = field(default_factory=list)
    containerStatuses: list[ContainerStatus] = field(default_factory=list)
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
