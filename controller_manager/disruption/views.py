"""PodDisruptionBudgets as this controller reads them, and the sizes of what controls pods."""

from __future__ import annotations

from msgspec import Struct, field

from controller_manager.views import Condition
from kubeclient.views import LabelSelector, Meta


class BudgetSpec(Struct, frozen=True):
    selector: LabelSelector | None = None
    minAvailable: int | str | None = None
    maxUnavailable: int | str | None = None


class BudgetStatus(Struct, frozen=True):
    currentHealthy: int = 0
    desiredHealthy: int = 0
    expectedPods: int = 0
    disruptionsAllowed: int = 0
    observedGeneration: int = 0
    disruptedPods: dict[str, str] = field(default_factory=dict)
    """Evictions agreed to whose pods do not look like it yet, and when."""
    conditions: list[Condition] = field(default_factory=list)


class Budget(Struct, frozen=True):
    metadata: Meta
    spec: BudgetSpec = BudgetSpec()
    status: BudgetStatus = BudgetStatus()

    @property
    def path(self) -> str:
        return f"/apis/policy/v1/namespaces/{self.metadata.namespace}/poddisruptionbudgets/{self.metadata.name}"

    def covers(self, labels: dict[str, str]) -> bool:
        return self.spec.selector is not None and self.spec.selector.matches(labels)
