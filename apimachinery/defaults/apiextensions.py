"""Defaults of apiextensions.k8s.io and apiregistration.k8s.io."""

from __future__ import annotations

from typing import Any

Obj = dict[str, Any]


def custom_resource_definition(obj: Obj) -> None:
    spec = obj.setdefault("spec", {})
    names = spec.setdefault("names", {})
    kind = names.get("kind", "")
    if not names.get("singular"):
        names["singular"] = kind.lower()
    if not names.get("listKind") and kind:
        names["listKind"] = kind + "List"
    if spec.get("conversion") is None:
        spec["conversion"] = {"strategy": "None"}
    service = ((spec["conversion"].get("webhook") or {}).get("clientConfig") or {}).get("service")
    if service is not None and service.get("port") is None:
        service["port"] = 443
    status = obj.setdefault("status", {})
    if not status.get("storedVersions"):
        stored = [version.get("name", "") for version in spec.get("versions", ()) if version.get("storage")]
        if stored:
            status["storedVersions"] = stored[:1]


def api_service(obj: Obj) -> None:
    service = obj.setdefault("spec", {}).get("service")
    if service is not None and service.get("port") is None:
        service["port"] = 443
    obj.setdefault("status", {})
