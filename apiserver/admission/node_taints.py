"""TaintNodesByCondition: a node begins as not ready, so that no pod is scheduled to it before it reports."""

from __future__ import annotations

from typing import ClassVar

from apiserver.admission.chain import CORE, Plugin
from apiserver.admission.tolerations import NOT_READY
from apiserver.ports import AdmissionRequest, Operation


class TaintNodesByCondition(Plugin):
    name: ClassVar[str] = "TaintNodesByCondition"
    handles: ClassVar[frozenset[tuple[str, str]] | None] = frozenset({(CORE, "nodes")})
    operations: ClassVar[frozenset[Operation]] = frozenset({Operation.CREATE})

    async def mutate(self, request: AdmissionRequest) -> None:
        if request.subresource or request.obj is None:
            return
        spec = request.obj.setdefault("spec", {})
        taints = spec.get("taints") or []
        if not any(one.get("key") == NOT_READY and one.get("effect") == "NoSchedule" for one in taints):
            spec["taints"] = [*taints, {"key": NOT_READY, "effect": "NoSchedule"}]
