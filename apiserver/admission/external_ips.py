"""DenyServiceExternalIPs: no Service takes over an address of its choice. Off by default, as in upstream."""

from __future__ import annotations

from typing import ClassVar

from apiserver.admission.chain import CORE, Plugin, refuse
from apiserver.ports import JSON, AdmissionRequest, Operation


class DenyServiceExternalIPs(Plugin):
    name: ClassVar[str] = "DenyServiceExternalIPs"
    handles: ClassVar[frozenset[tuple[str, str]] | None] = frozenset({(CORE, "services")})
    operations: ClassVar[frozenset[Operation]] = frozenset({Operation.CREATE, Operation.UPDATE})

    async def validate(self, request: AdmissionRequest) -> None:
        if not request.subresource and _addresses(request.obj) - _addresses(request.old):
            raise refuse(request, "Use of external IPs is denied by admission control.")


def _addresses(service: JSON | None) -> set[str]:
    return set(((service or {}).get("spec") or {}).get("externalIPs") or ())
