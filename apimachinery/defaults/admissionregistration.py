"""Defaults of admissionregistration.k8s.io."""

from __future__ import annotations

from typing import Any

Obj = dict[str, Any]


def _absent(holder: Obj, field: str, value: Any) -> None:
    if holder.get(field) is None:
        holder[field] = value


def _webhook(hook: Obj) -> None:
    _absent(hook, "failurePolicy", "Fail")
    _absent(hook, "matchPolicy", "Equivalent")
    _absent(hook, "namespaceSelector", {})
    _absent(hook, "objectSelector", {})
    _absent(hook, "timeoutSeconds", 10)
    service = hook.setdefault("clientConfig", {}).get("service")
    if service is not None:
        _absent(service, "port", 443)
    for rule in hook.get("rules", ()):
        _absent(rule, "scope", "*")


def validating_webhooks(obj: Obj) -> None:
    for hook in obj.get("webhooks", ()):
        _webhook(hook)


def mutating_webhooks(obj: Obj) -> None:
    for hook in obj.get("webhooks", ()):
        _webhook(hook)
        _absent(hook, "reinvocationPolicy", "Never")


def _match_resources(match: Obj | None) -> None:
    if match is None:
        return
    _absent(match, "matchPolicy", "Equivalent")
    _absent(match, "namespaceSelector", {})
    _absent(match, "objectSelector", {})
    for field in ("resourceRules", "excludeResourceRules"):
        for rule in match.get(field, ()):
            _absent(rule, "scope", "*")


def policy(obj: Obj) -> None:
    spec = obj.setdefault("spec", {})
    _absent(spec, "failurePolicy", "Fail")
    _match_resources(spec.get("matchConstraints"))
    if obj.get("kind") == "ValidatingAdmissionPolicy":
        obj.setdefault("status", {})


def binding(obj: Obj) -> None:
    _match_resources(obj.setdefault("spec", {}).get("matchResources"))
