"""What consumers read of every object: its metadata, who owns it, and selectors over labels."""

from __future__ import annotations

from msgspec import Struct, field

from apimachinery.placement import Requirement, holds


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
    deletionGracePeriodSeconds: int | None = None
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


class LabelSelector(Struct, frozen=True):
    matchLabels: dict[str, str] = field(default_factory=dict)
    matchExpressions: list[Requirement] = field(default_factory=list)

    def matches(self, labels: dict[str, str]) -> bool:
        """An empty selector matches everything, as the API says."""
        if any(labels.get(key) != value for key, value in self.matchLabels.items()):
            return False
        return all(holds(e, labels) for e in self.matchExpressions)

    @property
    def is_empty(self) -> bool:
        return not self.matchLabels and not self.matchExpressions
