"""Defaults of flowcontrol.apiserver.k8s.io."""

from __future__ import annotations

from typing import Any

Obj = dict[str, Any]


def flow_schema(obj: Obj) -> None:
    spec = obj.setdefault("spec", {})
    if not spec.get("matchingPrecedence"):
        spec["matchingPrecedence"] = 1000
    obj.setdefault("status", {})


def priority_level(obj: Obj) -> None:
    spec = obj.setdefault("spec", {})
    for field, shares in (("limited", 30), ("exempt", 0)):
        level = spec.get(field)
        if level is None:
            continue
        if level.get("nominalConcurrencyShares") is None:
            level["nominalConcurrencyShares"] = shares
        if level.get("lendablePercent") is None:
            level["lendablePercent"] = 0
    limited = spec.get("limited")
    if limited is not None:
        queuing = limited.setdefault("limitResponse", {}).get("queuing")
        if queuing is not None:
            for field, value in (("handSize", 8), ("queues", 64), ("queueLengthLimit", 50)):
                if not queuing.get(field):
                    queuing[field] = value
    obj.setdefault("status", {})
