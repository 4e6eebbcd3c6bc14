"""What webhooks leave in the audit log, under upstream's keys: by round, and by the webhook's place among the asked."""

from __future__ import annotations

from typing import Any

import orjson

from apiserver.ports import AdmissionRequest
from apiserver.webhooks.hooks import Webhook

MUTATING, VALIDATING = "mutation.webhook.admission.k8s.io/", "validating.webhook.admission.k8s.io/"
PATCH, FAILED_OPEN = "patch.webhook.admission.k8s.io/", "failed-open."


def _place(request: AdmissionRequest, index: int) -> str:
    return f"round_{int(request.again)}_index_{index}"


def note_failure(request: AdmissionRequest, prefix: str, index: int, hook: Webhook) -> None:
    """It could not be asked, and its failure policy let the request pass."""
    request.annotations.setdefault(f"{FAILED_OPEN}{prefix}{_place(request, index)}", hook.name)


def note_mutation(request: AdmissionRequest, index: int, hook: Webhook, patch: bytes, changed: bool) -> None:
    place, annotations = _place(request, index), request.annotations
    named: dict[str, Any] = {"configuration": hook.configuration, "webhook": hook.name}
    annotations.setdefault(f"{MUTATING}{place}", orjson.dumps({**named, "mutated": changed}).decode())
    if changed:
        told = {**named, "patch": orjson.Fragment(patch), "patchType": "JSONPatch"}
        annotations.setdefault(f"{PATCH}{place}", orjson.dumps(told).decode())
