"""ResourceQuota: what an object counts is charged to the quotas of its namespace before it is stored.

Charging is a guarded update of each quota's status, so that no two requests can take the same last piece. A request
that fails afterwards leaves its charge behind until the quota controller counts again, as in upstream.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any, ClassVar

from apimachinery import quota
from apimachinery.errors import StatusError
from apimachinery.podspec.resources import Amounts, amounts
from apimachinery.quantity import Quantity
from apiserver.admission.chain import CORE, Plugin, known, refuse
from apiserver.ports import JSON, AdmissionRequest, Objects, Operation
from component_base.clock import Clock

ON_UPDATE = frozenset({(CORE, "services"), (CORE, "persistentvolumeclaims"), (CORE, "pods")})


class ResourceQuota(Plugin):
    name: ClassVar[str] = "ResourceQuota"
    operations: ClassVar[frozenset[Operation]] = frozenset({Operation.CREATE, Operation.UPDATE})

    def __init__(self, objects: Objects, clock: Clock) -> None:
        self._objects = objects
        self._clock = clock
        self._quotas = known(CORE, "v1", "resourcequotas")
        self._limited: Counter[str] = Counter()
        objects.on_change(self._quotas, self._count)

    def _count(self, old: JSON | None, new: JSON | None) -> None:
        """Namespaces without quotas, as most are, must cost nothing."""
        for obj, step in ((old, -1), (new, 1)):
            if obj is not None:
                self._limited[obj["metadata"]["namespace"]] += step

    async def validate(self, request: AdmissionRequest) -> None:
        if self._limited.get(request.namespace, 0) <= 0 or request.obj is None or not _is_charged(request):
            return
        charge = Charge(request, self._clock.now())
        stored = self._objects.list(self._quotas, request.namespace)
        parts = [(one, part) for one in stored if (part := charge.part_of(one))]
        for one, part in parts:
            charge.check(one, part)
        if not request.dry_run:
            await self._take_all(charge, parts)

    async def _take_all(self, charge: Charge, parts: list[tuple[JSON, Amounts]]) -> None:
        for number, (one, part) in enumerate(parts):
            try:
                await self._take(one, charge, part)
            except StatusError:
                for taken, its_part in parts[:number]:
                    await self._give_back(taken, its_part)
                raise

    async def _take(self, stored: JSON, charge: Charge, part: Amounts) -> None:
        def change(current: JSON) -> JSON:
            charge.check(current, part)
            return _with_used(current, part, 1)

        await self._write(stored, change)

    async def _give_back(self, stored: JSON, part: Amounts) -> None:
        await self._write(stored, lambda current: _with_used(current, part, -1))

    async def _write(self, stored: JSON, change: Any) -> None:
        metadata = stored["metadata"]
        await self._objects.update_raw(self._quotas, metadata["namespace"], metadata["name"], change)


class Charge:
    """What one request adds, and whether a quota can bear it."""

    def __init__(self, request: AdmissionRequest, now: float) -> None:
        self._request = request
        self._kind = (request.info.group, request.info.plural)
        assert request.obj is not None
        self._new = quota.usage(*self._kind, request.obj, now)
        self._old = quota.usage(*self._kind, request.old, now) if request.old is not None else {}

    def part_of(self, stored: JSON) -> Amounts:
        """What is to be charged to this quota. Raises StatusError 403 when its rules are broken already."""
        assert self._request.obj is not None
        if not quota.covers(stored, *self._kind, self._request.obj):
            return {}
        name = stored["metadata"]["name"]
        status = stored.get("status") or {}
        hard = [key for key in status.get("hard") or {} if quota.concerns(*self._kind, key)]
        if self._kind == (CORE, "pods"):
            lacking = quota.unnamed(hard, self._request.obj)
            if lacking:
                raise refuse(self._request, f"failed quota: {name}: must specify {lacking}")
        if any(key not in (status.get("used") or {}) for key in hard) or not status.get("hard"):
            shown = ",".join(sorted(hard or (stored.get("spec") or {}).get("hard") or ()))
            raise refuse(self._request, f"status unknown for quota: {name}, resources: {shown}")
        counted_before = self._request.old is not None and quota.covers(stored, *self._kind, self._request.old)
        before = self._old if counted_before else {}
        added = {key: self._new.get(key, quota.ZERO) - before.get(key, quota.ZERO) for key in hard}
        return {key: amount for key, amount in added.items() if amount > quota.ZERO}

    def check(self, stored: JSON, part: Amounts) -> None:
        """Raises StatusError 403 when too little is left."""
        status = stored.get("status") or {}
        hard, used = amounts(status.get("hard")), amounts(status.get("used"))
        exceeded = [key for key in part if key in hard and used.get(key, quota.ZERO) + part[key] > hard[key]]
        if exceeded:
            shown = [_shown(table, exceeded) for table in (part, used, hard)]
            raise refuse(
                self._request,
                f"exceeded quota: {stored['metadata']['name']}, requested: {shown[0]}, used: {shown[1]}, "
                f"limited: {shown[2]}",
            )


def _is_charged(request: AdmissionRequest) -> bool:
    kind = (request.info.group, request.info.plural)
    if request.operation is Operation.CREATE:
        return not request.subresource
    if kind == (CORE, "pods"):
        return request.subresource == "resize" or (not request.subresource and _changes_scope(request))
    return not request.subresource and kind in ON_UPDATE


def _changes_scope(request: AdmissionRequest) -> bool:
    new, old = (((obj or {}).get("spec") or {}).get("activeDeadlineSeconds") for obj in (request.obj, request.old))
    return (new is None) is not (old is None)


def _with_used(stored: JSON, part: Mapping[str, Quantity], sign: int) -> JSON:
    status = dict(stored.get("status") or {})
    used = dict(status.get("used") or {})
    now = amounts(used)
    for key, amount in part.items():
        total = now.get(key, quota.ZERO) + amount * sign
        used[key] = str(max(total, quota.ZERO))
    return {**stored, "status": {**status, "used": used}}


def _shown(table: Mapping[str, Quantity], keys: list[str]) -> str:
    return ",".join(f"{key}={table.get(key, quota.ZERO)}" for key in sorted(keys))
