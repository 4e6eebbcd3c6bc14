"""The conditions of CustomResourceDefinitions: what should be written into the status of one. Pure."""

from __future__ import annotations

import base64
import binascii
import ssl
from collections.abc import Iterable
from typing import Any
from urllib.parse import urlsplit

from apimachinery import timestamps
from apimachinery.fields import aggregate, quote
from apimachinery.validation import crd_schemas
from apiserver.extensions.definition import condition, is_true

JSON = dict[str, Any]
APPROVAL = "api-approved.kubernetes.io"
_SEE = "see https://github.com/kubernetes/enhancements/pull/1111"
_RESOURCE_NAMES, _KIND_NAMES = ("plural", "singular"), ("kind", "listKind")


class Used:
    """The names that the other definitions of a group have been granted."""

    def __init__(self, others: Iterable[JSON]) -> None:
        self.resources: set[str] = set()
        self.kinds: set[str] = set()
        for names in others:
            self.resources.update(names.get(field) or "" for field in _RESOURCE_NAMES)
            self.resources.update(names.get("shortNames") or ())
            self.kinds.update(names.get(field) or "" for field in _KIND_NAMES)


def settle(obj: JSON, used: Used, now: float) -> bool:
    """Bring names and conditions of a definition up to date, in place; whether anything has changed."""
    status = obj.setdefault("status", {})
    before = (status.get("acceptedNames"), [dict(one) for one in status.get("conditions") or ()])
    _names(obj, used, now)
    _establish(obj, now)
    _approve(obj, now)
    _structure(obj, now)
    return before != (status.get("acceptedNames"), status.get("conditions") or [])


def put(obj: JSON, kind: str, state: bool, reason: str, message: str, now: float) -> None:
    """Set a condition; its transition time changes with its state only."""
    status = obj.setdefault("status", {})
    listed = status["conditions"] = list(status.get("conditions") or ())
    word = "True" if state else "False"
    new = {"type": kind, "status": word, "lastTransitionTime": timestamps.format(now), "reason": reason}
    new["message"] = message
    for index, one in enumerate(listed):
        if one.get("type") == kind:
            if one.get("status") == word and one.get("lastTransitionTime"):
                new["lastTransitionTime"] = one["lastTransitionTime"]
            listed[index] = new
            return
    listed.append(new)


def _names(obj: JSON, used: Used, now: float) -> None:
    wanted, status = obj["spec"]["names"], obj["status"]
    accepted: JSON = status.get("acceptedNames") or {}
    if wanted == accepted and condition(obj, "NamesAccepted") is not None:
        return
    result = dict(accepted)
    problems: list[tuple[str, str]] = []

    def take(field: str, taken: set[str]) -> None:
        name = wanted.get(field) or ""
        if name != (accepted.get(field) or "") and name in taken:
            problems.append((f"{field[0].upper()}{field[1:]}Conflict", f"{quote(name)} is already in use"))
        else:
            result[field] = name

    take("plural", used.resources)
    take("singular", used.resources)
    own = set(accepted.get("shortNames") or ())
    bad = [name for name in wanted.get("shortNames") or () if name not in own and name in used.resources]
    if bad:
        problems.append(("ShortNamesConflict", aggregate(f"{quote(name)} is already in use" for name in bad)))
    else:
        _copy(wanted, result, "shortNames")
    take("kind", used.kinds)
    take("listKind", used.kinds)
    _copy(wanted, result, "categories")
    status["acceptedNames"] = result
    if problems:
        put(obj, "NamesAccepted", False, *problems[-1], now)
        if condition(obj, "Established") is None:
            put(obj, "Established", False, "NotAccepted", "not all names are accepted", now)
    else:
        put(obj, "NamesAccepted", True, "NoConflicts", "no conflicts found", now)


def _copy(source: JSON, target: JSON, field: str) -> None:
    if source.get(field):
        target[field] = source[field]
    else:
        target.pop(field, None)


def _establish(obj: JSON, now: float) -> None:
    if is_true(obj, "Established") or not is_true(obj, "NamesAccepted"):
        return
    client = ((obj["spec"].get("conversion") or {}).get("webhook") or {}).get("clientConfig") or {}
    if client.get("caBundle") and not _is_bundle(client["caBundle"]):
        put(obj, "Established", False, "InvalidCABundle", "The conversion webhook CABundle is invalid", now)
    else:
        put(obj, "Established", True, "InitialNamesAccepted", "the initial names have been accepted", now)


def _is_bundle(text: str) -> bool:
    try:
        pem = base64.b64decode(text, validate=True)
        if pem.strip():
            ssl.create_default_context(cadata=pem.decode("ascii"))
    except (binascii.Error, ValueError, ssl.SSLError):
        return False
    return True


def _approve(obj: JSON, now: float) -> None:
    """Groups of the project itself need its consent."""
    group = f".{obj['spec']['group']}"
    if not group.endswith((".k8s.io", ".kubernetes.io")):
        return
    text = (obj["metadata"].get("annotations") or {}).get(APPROVAL) or ""
    must = f"protected groups must have approval annotation {quote(APPROVAL)}"
    if not text:
        state, reason, message = False, "MissingAnnotation", f"{must}, {_SEE}"
    elif text.startswith("unapproved"):
        state, reason, message = False, "UnapprovedAnnotation", f"not approved: {quote(text)}"
    elif _is_url(text):
        state, reason, message = True, "ApprovedAnnotation", f"approved in {text}"
    else:
        detail = f'{must} with either a URL or a reason starting with "unapproved", {_SEE}'
        state, reason, message = False, "InvalidAnnotation", detail
    put(obj, "KubernetesAPIApprovalPolicyConformant", state, reason, message, now)


def _is_url(text: str) -> bool:
    try:
        parts = urlsplit(text)
    except ValueError:
        return False
    return bool(parts.scheme and parts.netloc)


def _structure(obj: JSON, now: float) -> None:
    """Only definitions from before schemas had to be structural can fail this."""
    found = crd_schemas.violations(obj["spec"].get("versions") or ())
    if found:
        put(obj, "NonStructuralSchema", True, "Violations", aggregate(found), now)
    elif condition(obj, "NonStructuralSchema") is not None:
        status = obj["status"]
        status["conditions"] = [one for one in status["conditions"] if one.get("type") != "NonStructuralSchema"]
