"""StatefulSets as this controller reads them."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Struct, field

from controller_manager.views import Condition
from kubeclient.views import LabelSelector, Meta


class RollingUpdateStatefulSet(Struct, frozen=True):
    partition: int = 0
    maxUnavailable: int | str | None = None


class UpdateStrategy(Struct, frozen=True):
    type: str = "RollingUpdate"
    rollingUpdate: RollingUpdateStatefulSet | None = None


class RetentionPolicy(Struct, frozen=True):
    whenDeleted: str = "Retain"
    whenScaled: str = "Retain"


class Ordinals(Struct, frozen=True):
    start: int = 0


class StatefulSetSpec(Struct, frozen=True):
    selector: LabelSelector
    replicas: int = 1
    serviceName: str = ""
    template: msgspec.Raw = msgspec.Raw(b"{}")
    volumeClaimTemplates: list[dict[str, Any]] = field(default_factory=list)
    podManagementPolicy: str = "OrderedReady"
    updateStrategy: UpdateStrategy = UpdateStrategy()
    minReadySeconds: int = 0
    revisionHistoryLimit: int | None = 10
    persistentVolumeClaimRetentionPolicy: RetentionPolicy | None = None
    ordinals: Ordinals | None = None


class StatefulSetStatus(Struct, frozen=True):
    observedGeneration: int = 0
    replicas: int = 0
    readyReplicas: int = 0
    currentReplicas: int = 0
    updatedReplicas: int = 0
    availableReplicas: int = 0
    currentRevision: str = ""
    updateRevision: str = ""
    collisionCount: int | None = None
    conditions: list[Condition] = field(default_factory=list)


class StatefulSet(Struct, frozen=True):
    metadata: Meta
    spec: StatefulSetSpec
    status: StatefulSetStatus = StatefulSetStatus()

    @property
    def start(self) -> int:
        return self.spec.ordinals.start if self.spec.ordinals else 0

    @property
    def partition(self) -> int:
        update = self.spec.updateStrategy.rollingUpdate
        return update.partition if update else 0

    @property
    def retention(self) -> RetentionPolicy:
        return self.spec.persistentVolumeClaimRetentionPolicy or RetentionPolicy()
