"""`--authorization-webhook-config-file`: another server decides (SubjectAccessReview); silent, it has no opinion."""

from __future__ import annotations

import logging
from typing import Any

from apiserver.ports import Attributes, Verdict
from apiserver.webhooks.client import WebhookError
from apiserver.webhooks.reviews import Remembered, ReviewClient
from component_base.clock import Clock

log = logging.getLogger(__name__)

JSON = dict[str, Any]


class WebhookAuthorizer:
    """Decisions are remembered, those that allow for `allowed_seconds`, others for `refused_seconds`."""

    def __init__(
        self, client: ReviewClient, version: str, clock: Clock, allowed_seconds: float, refused_seconds: float
    ) -> None:
        self._client = client
        self._version = version
        self._groups = "group" if version == "v1beta1" else "groups"  # renamed on the way to v1
        self._allowed, self._refused = allowed_seconds, refused_seconds
        self._known: Remembered[tuple[Verdict, str]] = Remembered(clock)

    async def authorize(self, attributes: Attributes) -> tuple[Verdict, str]:
        spec = spec_of(attributes, self._groups)
        key = repr(spec)
        found = self._known.get(key)
        if found is not None:
            return found
        body = {"apiVersion": f"authorization.k8s.io/{self._version}", "kind": "SubjectAccessReview", "spec": spec}
        try:
            status = await self._client.ask(body)
        except WebhookError as error:
            log.warning("the authorization webhook does not answer: %s", error)
            return Verdict.NO_OPINION, str(error)
        found = verdict_of(status)
        self._known.put(key, found, self._allowed if found[0] is Verdict.ALLOW else self._refused)
        return found


def spec_of(attributes: Attributes, groups: str) -> JSON:
    """`groups` is the name of that field."""
    user = attributes.user
    spec: JSON = {"user": user.name}
    if user.groups:
        spec[groups] = list(user.groups)
    if user.uid:
        spec["uid"] = user.uid
    if user.extra:
        spec["extra"] = {key: list(values) for key, values in user.extra.items()}
    if not attributes.resource:
        return {**spec, "nonResourceAttributes": {"path": attributes.path, "verb": attributes.verb}}
    about = {
        "namespace": attributes.namespace,
        "verb": attributes.verb,
        "group": attributes.group,
        "version": attributes.version,
        "resource": attributes.resource,
        "subresource": attributes.subresource,
        "name": attributes.name,
    }
    found: JSON = {key: value for key, value in about.items() if value}
    if attributes.field_selector:
        found["fieldSelector"] = {"rawSelector": attributes.field_selector}
    if attributes.label_selector:
        found["labelSelector"] = {"rawSelector": attributes.label_selector}
    return {**spec, "resourceAttributes": found}


def verdict_of(status: JSON) -> tuple[Verdict, str]:
    reason = str(status.get("reason") or "")
    if status.get("denied"):
        return Verdict.DENY, reason
    if status.get("allowed"):
        return Verdict.ALLOW, reason
    return Verdict.NO_OPINION, reason or str(status.get("evaluationError") or "")
