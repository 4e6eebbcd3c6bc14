"""Claims, volumes and storage classes as typed views, and which volume may serve which claim.

The binder and the scheduler must agree on that, so both ask here.
"""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct, field

from apimachinery.placement import NodeSelector, Requirement
from apimachinery.quantity import Quantity
from kubeclient.views import LabelSelector, Meta

CLAIMS = "/api/v1/persistentvolumeclaims"
VOLUMES = "/api/v1/persistentvolumes"
CLASSES = "/apis/storage.k8s.io/v1/storageclasses"
ATTRIBUTES_CLASSES = "/apis/storage.k8s.io/v1/volumeattributesclasses"

BETA_CLASS = "volume.beta.kubernetes.io/storage-class"
BIND_COMPLETED = "pv.kubernetes.io/bind-completed"
BOUND_BY_CONTROLLER = "pv.kubernetes.io/bound-by-controller"
PROVISIONED_BY = "pv.kubernetes.io/provisioned-by"
PROVISIONER = "volume.kubernetes.io/storage-provisioner"
BETA_PROVISIONER = "volume.beta.kubernetes.io/storage-provisioner"
SELECTED_NODE = "volume.kubernetes.io/selected-node"
DEFAULT_CLASS = "storageclass.kubernetes.io/is-default-class"
BETA_DEFAULT_CLASS = "storageclass.beta.kubernetes.io/is-default-class"

Amounts = dict[str, str | int | float]


def storage(amounts: Amounts) -> int:
    return Quantity.parse(str(amounts.get("storage", "0"))).value()


class ClaimResources(Struct, frozen=True):
    requests: Amounts = field(default_factory=dict)


class ClaimSpec(Struct, frozen=True):
    accessModes: list[str] = field(default_factory=list)
    resources: ClaimResources = ClaimResources()
    selector: LabelSelector | None = None
    storageClassName: str | None = None
    volumeName: str = ""
    volumeMode: str = "Filesystem"
    volumeAttributesClassName: str | None = None


class ModifyVolumeStatus(Struct, frozen=True):
    targetVolumeAttributesClassName: str = ""


class ClaimStatus(Struct, frozen=True):
    phase: str = ""
    accessModes: list[str] = field(default_factory=list)
    capacity: Amounts = field(default_factory=dict)
    currentVolumeAttributesClassName: str | None = None
    modifyVolumeStatus: ModifyVolumeStatus | None = None


class Claim(Struct, frozen=True):
    metadata: Meta
    spec: ClaimSpec = ClaimSpec()
    status: ClaimStatus = ClaimStatus()

    @property
    def class_name(self) -> str:
        """The annotation from before the field existed still wins."""
        return self.metadata.annotations.get(BETA_CLASS, self.spec.storageClassName or "")

    @property
    def has_class(self) -> bool:
        return BETA_CLASS in self.metadata.annotations or self.spec.storageClassName is not None

    @property
    def attributes_classes(self) -> frozenset[str]:
        """Those it wants, has, or is on the way to."""
        names = {self.spec.volumeAttributesClassName, self.status.currentVolumeAttributesClassName}
        if self.status.modifyVolumeStatus is not None:
            names.add(self.status.modifyVolumeStatus.targetVolumeAttributesClassName)
        return frozenset(name for name in names if name)

    @property
    def is_bound(self) -> bool:
        return BIND_COMPLETED in self.metadata.annotations


class ClaimRef(Struct, frozen=True):
    namespace: str = ""
    name: str = ""
    uid: str = ""

    def names(self, claim: Claim) -> bool:
        """Reserved for this claim; a reference without uid was written by a person for whoever has that name."""
        same = (self.namespace, self.name) == (claim.metadata.namespace, claim.metadata.name)
        return same and self.uid in ("", claim.metadata.uid)


class VolumeAffinity(Struct, frozen=True):
    required: NodeSelector | None = None


class VolumeSpec(Struct, frozen=True):
    capacity: Amounts = field(default_factory=dict)
    accessModes: list[str] = field(default_factory=list)
    claimRef: ClaimRef | None = None
    storageClassName: str = ""
    volumeMode: str = "Filesystem"
    volumeAttributesClassName: str | None = None
    persistentVolumeReclaimPolicy: str = "Retain"
    nodeAffinity: VolumeAffinity | None = None


class VolumeStatus(Struct, frozen=True):
    phase: str = ""
    message: str = ""


class Volume(Struct, frozen=True):
    metadata: Meta
    spec: VolumeSpec = VolumeSpec()
    status: VolumeStatus = VolumeStatus()

    @property
    def class_name(self) -> str:
        return self.metadata.annotations.get(BETA_CLASS, self.spec.storageClassName)


class TopologyExpression(Struct, frozen=True):
    key: str
    values: list[str] = field(default_factory=list)


class TopologyTerm(Struct, frozen=True):
    matchLabelExpressions: list[TopologyExpression] = field(default_factory=list)

    def as_requirements(self) -> list[Requirement]:
        return [Requirement(e.key, "In", e.values) for e in self.matchLabelExpressions]


class StorageClass(Struct, frozen=True):
    metadata: Meta
    provisioner: str = ""
    volumeBindingMode: str = "Immediate"
    allowedTopologies: list[TopologyTerm] = field(default_factory=list)

    @property
    def waits_for_consumer(self) -> bool:
        return self.volumeBindingMode == "WaitForFirstConsumer"

    @property
    def is_default(self) -> bool:
        notes = self.metadata.annotations
        return "true" in (notes.get(DEFAULT_CLASS), notes.get(BETA_DEFAULT_CLASS))


class AttributesClass(Struct, frozen=True):
    """A VolumeAttributesClass."""

    metadata: Meta


def mismatch(volume: Volume, claim: Claim) -> str:
    """Why the volume cannot serve the claim, in upstream's words; empty when it can."""
    if volume.metadata.deletionTimestamp is not None:
        return f'the volume is marked for deletion "{volume.metadata.name}"'
    if storage(volume.spec.capacity) < storage(claim.spec.resources.requests):
        return "requested PV is too small"
    if volume.class_name != claim.class_name:
        return "storageClassName does not match"
    if (volume.spec.volumeAttributesClassName or "") != (claim.spec.volumeAttributesClassName or ""):
        return "volumeAttributesClassName does not match"
    if volume.spec.volumeMode != claim.spec.volumeMode:
        return "incompatible volumeMode"
    if not set(claim.spec.accessModes) <= set(volume.spec.accessModes):
        return "incompatible accessMode"
    return ""


def best_volume(volumes: Iterable[Volume], claim: Claim, *, reserved_only: bool = False) -> Volume | None:
    """`reserved_only`: the claim waits for its first consumer, so only a volume reserved for it counts."""
    fitting: list[Volume] = []
    for volume in volumes:
        reference = volume.spec.claimRef
        if reference is not None:
            if reference.names(claim) and not mismatch(volume, claim):
                return volume
            continue
        if reserved_only or volume.status.phase != "Available" or mismatch(volume, claim):
            continue
        selector = claim.spec.selector
        if selector is not None and not selector.matches(volume.metadata.labels):
            continue
        fitting.append(volume)
    return min(fitting, key=_preference, default=None)


def _preference(volume: Volume) -> tuple[int, int, str]:
    """Size first; then fewer access modes, then the name, so that the choice is the same every time."""
    return storage(volume.spec.capacity), len(volume.spec.accessModes), volume.metadata.name


def default_class(classes: Iterable[StorageClass]) -> StorageClass | None:
    """Of several that call themselves default the newest counts, then the first by name (KEP-3333)."""
    defaults = sorted((c for c in classes if c.is_default), key=lambda c: c.metadata.name)
    return max(defaults, key=lambda c: c.metadata.creationTimestamp or "", default=None)
