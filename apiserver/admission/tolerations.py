"""DefaultTolerationSeconds: pods stay five minutes on a node that fails, unless they say otherwise."""

from __future__ import annotations

from typing import Any, ClassVar

from apiserver.admission.chain import Plugin, pods_only
from apiserver.ports import AdmissionRequest, Operation

NOT_READY = "node.kubernetes.io/not-ready"
UNREACHABLE = "node.kubernetes.io/unreachable"


class DefaultTolerationSeconds(Plugin):
    name: ClassVar[str] = "DefaultTolerationSeconds"
    handles: ClassVar[frozenset[tuple[str, str]] | None] = pods_only()
    operations: ClassVar[frozenset[Operation]] = frozenset({Operation.CREATE, Operation.UPDATE})

    def __init__(self, not_ready_seconds: int = 300, unreachable_seconds: int = 300) -> None:
        self._seconds = {NOT_READY: not_ready_seconds, UNREACHABLE: unreachable_seconds}

    async def mutate(self, request: AdmissionRequest) -> None:
        if request.subresource or request.obj is None:
            return
        spec = request.obj.setdefault("spec", {})
        present: list[dict[str, Any]] = spec.get("tolerations") or []
        added = [
            {"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": seconds}
            for key, seconds in self._seconds.items()
            if not any(_tolerates(one, key) for one in present)
        ]
        if added:
            spec["tolerations"] = [*present, *added]


def _tolerates(toleration: dict[str, Any], key: str) -> bool:
    return toleration.get("key") in (key, "", None) and toleration.get("effect") in ("NoExecute", "", None)
