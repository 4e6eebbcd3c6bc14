"""Defaults of rbac.authorization.k8s.io."""

from __future__ import annotations

from typing import Any

Obj = dict[str, Any]

GROUP = "rbac.authorization.k8s.io"


def role(obj: Obj) -> None:
    obj.setdefault("rules", None)  # never omitted by the encoder


def binding(obj: Obj) -> None:
    reference = obj.setdefault("roleRef", {})
    if not reference.get("apiGroup"):
        reference["apiGroup"] = GROUP
    for subject in obj.get("subjects", ()):
        if not subject.get("apiGroup") and subject.get("kind") in {"User", "Group"}:
            subject["apiGroup"] = GROUP
