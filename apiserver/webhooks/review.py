"""AdmissionReview: the question that a webhook is asked, and what its answer must look like."""

from __future__ import annotations

import base64
import binascii
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from apimachinery.errors import StatusError
from apimachinery.resources import ResourceInfo
from apiserver.ports import AdmissionRequest
from apiserver.webhooks.hooks import Invocation

JSON = dict[str, Any]
GROUP = "admission.k8s.io"
VERSIONS = ("v1", "v1beta1")
_OPTIONS = {"CREATE": "CreateOptions", "UPDATE": "UpdateOptions", "DELETE": "DeleteOptions"}


class BadReview(Exception):
    """An answer that is not one to the question."""


@dataclass(frozen=True, slots=True)
class Review:
    uid: str
    version: str
    body: JSON


@dataclass(frozen=True, slots=True)
class Answer:
    allowed: bool
    result: JSON | None = None
    patch: bytes = b""
    patch_type: str = ""
    warnings: tuple[str, ...] = ()
    annotations: Mapping[str, str] = field(default_factory=dict)


def version_of(accepted: tuple[str, ...]) -> str:
    """The first that we know. Raises BadReview."""
    for version in accepted:
        if version in VERSIONS:
            return version
    raise BadReview("webhook does not accept known AdmissionReview versions (v1, v1beta1)")


def review_of(request: AdmissionRequest, invocation: Invocation, obj: JSON | None, old: JSON | None) -> Review:
    """`obj` and `old` are in the version in which the webhook sees them. Raises BadReview."""
    version = version_of(invocation.hook.versions)
    uid = str(uuid.uuid4())
    body = {"uid": uid, **attributes(request, invocation.info), "object": obj, "oldObject": old}
    return Review(uid, version, {"kind": "AdmissionReview", "apiVersion": f"{GROUP}/{version}", "request": body})


def attributes(request: AdmissionRequest, seen: ResourceInfo) -> JSON:
    """All that a review says of a request but its objects; `seen` is the version of the resource it is shown in."""
    asked = request.info
    body: JSON = {"kind": _kind(request, seen), "resource": _resource(seen)}
    if request.subresource:
        body["subResource"] = request.subresource
    body["requestKind"], body["requestResource"] = _kind(request, asked), _resource(asked)
    if request.subresource:
        body["requestSubResource"] = request.subresource
    if request.name:
        body["name"] = request.name
    if namespace := namespace_of(request):
        body["namespace"] = namespace
    body |= {
        "operation": request.operation.value,
        "userInfo": _user_info(request),
        "dryRun": request.dry_run,
        "options": _options(request),
    }
    return body


def namespace_of(request: AdmissionRequest) -> str:
    """A Namespace object counts as lying in itself."""
    if request.info.group_resource == "namespaces":
        return request.name
    return request.namespace


def _kind(request: AdmissionRequest, info: ResourceInfo) -> JSON:
    if request.kind is not None:
        group, version, kind = request.kind
    else:
        group, version, kind = info.group, info.version, info.kind
    return {"group": group, "version": version, "kind": kind}


def _resource(info: ResourceInfo) -> JSON:
    return {"group": info.group, "version": info.version, "resource": info.plural}


def _user_info(request: AdmissionRequest) -> JSON:
    user = request.user
    found: JSON = {}
    if user.name:
        found["username"] = user.name
    if user.uid:
        found["uid"] = user.uid
    if user.groups:
        found["groups"] = list(user.groups)
    if user.extra:
        found["extra"] = {key: list(values) for key, values in user.extra.items()}
    return found


def _options(request: AdmissionRequest) -> JSON | None:
    kind = _OPTIONS.get(request.operation.value)
    if kind is None:
        return None
    return {"kind": kind, "apiVersion": "meta.k8s.io/v1", **request.options}


def read(review: Review, body: JSON, mutating: bool) -> Answer:
    """Raises BadReview. The older version was never looked at as closely, and there are webhooks that count on it."""
    response = body.get("response")
    if not isinstance(response, dict):
        raise BadReview("webhook response was absent")
    try:
        patch = base64.b64decode(response.get("patch") or "", validate=True)
    except (binascii.Error, ValueError, TypeError):
        raise BadReview("response.patch is not base64") from None
    patch_type = response.get("patchType")
    if review.version == "v1":
        _check(review, body, response, patch, patch_type, mutating)
    elif patch:
        patch_type = "JSONPatch"
    result, warnings, annotations = response.get("status"), response.get("warnings"), response.get("auditAnnotations")
    return Answer(
        response.get("allowed") is True,
        result if isinstance(result, dict) else None,
        patch if mutating else b"",
        str(patch_type or ""),
        tuple(str(one) for one in warnings) if isinstance(warnings, list) else (),
        {str(key): str(value) for key, value in annotations.items()} if isinstance(annotations, dict) else {},
    )


def _check(review: Review, body: JSON, response: JSON, patch: bytes, patch_type: Any, mutating: bool) -> None:
    if response.get("uid") != review.uid:
        raise BadReview(f'expected response.uid="{review.uid}", got "{response.get("uid") or ""}"')
    wanted = f"{GROUP}/{review.version}, Kind=AdmissionReview"
    found = f"{body.get('apiVersion') or ''}, Kind={body.get('kind') or ''}"
    if found != wanted:
        raise BadReview(f"expected webhook response of {wanted}, got {found}")
    if not mutating:
        if patch:
            raise BadReview("validating webhook may not return response.patch")
        if patch_type is not None:
            raise BadReview("validating webhook may not return response.patchType")
    elif patch and patch_type is None:
        raise BadReview("webhook returned response.patch but not response.patchType")
    elif not patch and patch_type is not None:
        raise BadReview("webhook returned response.patchType but not response.patch")
    elif patch_type == "":
        raise BadReview('webhook returned invalid response.patchType of ""')


def denial(name: str, result: JSON | None) -> StatusError:
    """The webhook's Status with our words before its own; never below 400, never a success."""
    given = result or {}
    code = given.get("code")
    reason, said = str(given.get("reason") or ""), str(given.get("message") or "")
    text = f'admission webhook "{name}" denied the request'
    text += f": {said or reason}" if said or reason else " without explanation"
    details = given.get("details")
    code = code if isinstance(code, int) and 400 <= code <= 599 else 400
    return StatusError(code, reason, text, details if isinstance(details, dict) else None)
