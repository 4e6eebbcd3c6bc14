"""Conditions of certificate signing requests: dates, and verdicts that cannot be rewritten."""

from __future__ import annotations

from typing import Any

Obj = dict[str, Any]


def create(request: Obj) -> None:
    """The requester's identity is the server's to fill in, from the request itself."""
    for field in ("username", "uid", "groups", "extra"):
        request.setdefault("spec", {}).pop(field, None)


def status_update(request: Obj, old: Obj, now: str | None) -> None:
    for kind in ("Approved", "Denied"):
        _keep_verdicts(request, old, kind)
    _date_conditions(request, old, now)


def approval_update(request: Obj, old: Obj, now: str | None) -> None:
    """Only conditions may change through the approval subresource."""
    _date_conditions(request, old, now)
    conditions = (request.get("status") or {}).get("conditions")
    request["spec"] = old["spec"]
    request["status"] = dict(old.get("status") or {})
    if conditions:
        request["status"]["conditions"] = conditions
    else:
        request["status"].pop("conditions", None)


def _conditions(request: Obj) -> list[Obj]:
    return (request.get("status") or {}).get("conditions") or []


def _keep_verdicts(request: Obj, old: Obj, kind: str) -> None:
    new = _conditions(request)
    places = [index for index, condition in enumerate(new) if condition.get("type") == kind]
    known = [condition for condition in _conditions(old) if condition.get("type") == kind]
    if len(places) == len(known):
        for place, condition in zip(places, known, strict=True):
            new[place] = condition


def _date_conditions(request: Obj, old: Obj, now: str | None) -> None:
    for condition in _conditions(request):
        if not condition.get("lastUpdateTime") and now:
            condition["lastUpdateTime"] = now
        if not condition.get("lastTransitionTime"):
            known = [
                before["lastTransitionTime"]
                for before in _conditions(old)
                if before.get("type") == condition.get("type")
                and before.get("status") == condition.get("status")
                and before.get("lastTransitionTime")
            ]
            moment = known[0] if known else now
            if moment:
                condition["lastTransitionTime"] = moment
