"""DaemonSets as this controller reads them."""

from __future__ import annotations

import msgspec
from msgspec import Struct, field

from controller_manager.views import Condition
from kubeclient.views import LabelSelector, Meta


class RollingUpdateDaemonSet(Struct, frozen=True):
    maxUnavailable: int | str = 1
    maxSurge: int | str = 0


class UpdateStrategy(Struct, frozen=True):
    type: str = "RollingUpdate"
    rollingUpdate: RollingUpdateDaemonSet | None = None


class DaemonSetSpec(Struct, frozen=True):
    selector: LabelSelector
    template: msgspec.Raw = msgspec.Raw(b"{}")
    updateStrategy: UpdateStrategy = UpdateStrategy()
    minReadySeconds: int = 0
    revisionHistoryLimit: int | None = 10


class DaemonSetStatus(Struct, frozen=True):
    currentNumberScheduled: int = 0
    numberMisscheduled: int = 0
    desiredNumberScheduled: int = 0
    numberReady: int = 0
    observedGeneration: int = 0
    updatedNumberScheduled: int = 0
    numberAvailable: int = 0
    numberUnavailable: int = 0
    collisionCount: int | None = None
    conditions: list[Condition] = field(default_factory=list)


class DaemonSet(Struct, frozen=True):
    metadata: Meta
    spec: DaemonSetSpec
    status: DaemonSetStatus = DaemonSetStatus()
