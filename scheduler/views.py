"""What the scheduler reads of Pods and Nodes. Only these fields are decoded from the watch."""

from __future__ import annotations

from msgspec import Struct, field

from apimachinery.placement import NodeSelector, NodeSelectorTerm, Requirement, Taint

Requests = dict[str, str | int | float]


class OwnerReference(Struct, frozen=True):
    kind: str
    name: str
    uid: str = ""
    controller: bool = False


class Meta(Struct, frozen=True):
    name: str = ""
    namespace: str = ""
    uid: str = ""
    resourceVersion: str = ""
    creationTimestamp: str | None = None
    deletionTimestamp: str | None = None
    labels: dict[str, str] = field(default_factory=dict)
    ownerReferences: list[OwnerReference] = field(default_factory=list)


class Resources(Struct, frozen=True):
    requests: Requests = field(default_factory=dict)
    limits: Requests = field(default_factory=dict)


class ContainerPort(Struct, frozen=True):
    containerPort: int = 0
    hostPort: int = 0
    protocol: str = "TCP"
    hostIP: str = ""


class Container(Struct, frozen=True):
    name: str = ""
    image: str = ""
    resources: Resources = Resources()
    ports: list[ContainerPort] = field(default_factory=list)
    restartPolicy: str = ""


class LabelSelector(Struct, frozen=True):
    matchLabels: dict[str, str] = field(default_factory=dict)
    matchExpressions: list[Requirement] = field(default_factory=list)


class PreferredNodeTerm(Struct, frozen=True):
    weight: int
    preference: NodeSelectorTerm


class NodeAffinity(Struct, frozen=True):
    requiredDuringSchedulingIgnoredDuringExecution: NodeSelector | None = None
    preferredDuringSchedulingIgnoredDuringExecution: list[PreferredNodeTerm] = field(default_factory=list)


class PodTerm(Struct, frozen=True):
    topologyKey: str
    labelSelector: LabelSelector | None = None
    namespaces: list[str] = field(default_factory=list)
    namespaceSelector: LabelSelector | None = None
    matchLabelKeys: list[str] = field(default_factory=list)
    mismatchLabelKeys: list[str] = field(default_factory=list)


class WeightedPodTerm(Struct, frozen=True):
    weight: int
    podAffinityTerm: PodTerm


class PodAffinity(Struct, frozen=True):
    requiredDuringSchedulingIgnoredDuringExecution: list[PodTerm] = field(default_factory=list)
    preferredDuringSchedulingIgnoredDuringExecution: list[WeightedPodTerm] = field(default_factory=list)


class Affinity(Struct, frozen=True):
    nodeAffinity: NodeAffinity | None = None
    podAffinity: PodAffinity | None = None
    podAntiAffinity: PodAffinity | None = None


class Toleration(Struct, frozen=True):
    key: str = ""
    operator: str = "Equal"
    value: str = ""
    effect: str = ""


class SpreadConstraint(Struct, frozen=True):
    maxSkew: int
    topologyKey: str
    whenUnsatisfiable: str
    labelSelector: LabelSelector | None = None
    minDomains: int | None = None
    nodeAffinityPolicy: str = "Honor"
    nodeTaintsPolicy: str = "Ignore"
    matchLabelKeys: list[str] = field(default_factory=list)


class SchedulingGate(Struct, frozen=True):
    name: str


class ClaimSource(Struct, frozen=True):
    claimName: str = ""


class EphemeralSource(Struct, frozen=True):
    """Its claim has a name made of the pod's and the volume's; what is asked for is the claim's own matter."""


class Volume(Struct, frozen=True):
    name: str = ""
    persistentVolumeClaim: ClaimSource | None = None
    ephemeral: EphemeralSource | None = None


class PodSpec(Struct, frozen=True):
    nodeName: str = ""
    schedulerName: str = "default-scheduler"
    priority: int | None = None
    preemptionPolicy: str = "PreemptLowerPriority"
    nodeSelector: dict[str, str] = field(default_factory=dict)
    affinity: Affinity | None = None
    tolerations: list[Toleration] = field(default_factory=list)
    containers: list[Container] = field(default_factory=list)
    initContainers: list[Container] = field(default_factory=list)
    resources: Resources | None = None
    overhead: Requests = field(default_factory=dict)
    hostNetwork: bool = False
    schedulingGates: list[SchedulingGate] = field(default_factory=list)
    volumes: list[Volume] = field(default_factory=list)
    topologySpreadConstraints: list[SpreadConstraint] = field(default_factory=list)


class Condition(Struct, frozen=True):
    type: str
    status: str
    reason: str = ""
    message: str = ""


class PodStatus(Struct, frozen=True):
    phase: str = ""
    nominatedNodeName: str = ""
    conditions: list[Condition] = field(default_factory=list)


class Pod(Struct, frozen=True):
    metadata: Meta
    spec: PodSpec = PodSpec()
    status: PodStatus = PodStatus()

    @property
    def key(self) -> str:
        return f"{self.metadata.namespace}/{self.metadata.name}"

    @property
    def is_terminal(self) -> bool:
        return self.status.phase in ("Succeeded", "Failed")


class NodeSpec(Struct, frozen=True):
    unschedulable: bool = False
    taints: list[Taint] = field(default_factory=list)


class NodeStatus(Struct, frozen=True):
    allocatable: Requests = field(default_factory=dict)


class Node(Struct, frozen=True):
    metadata: Meta
    spec: NodeSpec = NodeSpec()
    status: NodeStatus = NodeStatus()


class Namespace(Struct, frozen=True):
    metadata: Meta
