"""Who may what: the four access reviews. They ask the very authorizer that requests pass."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from apimachinery import errors
from apimachinery.fields import FieldError, Path, invalid, required
from apiserver.authz.modes import ModeAuthorizer
from apiserver.ports import JSON, Attributes, Call, User, Verdict

GROUP = "authorization.k8s.io"
ALL_VERSIONS = "*"
SPEC = Path("spec")


class SubjectAccessReviews:
    """About anybody; `local` ones are confined to the namespace of the request."""

    def __init__(self, authorizer: ModeAuthorizer, local: bool = False) -> None:
        self._authorizer = authorizer
        self._local = local
        self._kind = "LocalSubjectAccessReview" if local else "SubjectAccessReview"

    async def __call__(self, call: Call, body: JSON) -> JSON:
        spec, metadata = body.get("spec") or {}, dict(body.get("metadata") or {})
        found = check_spec(spec)
        if not spec.get("user") and not spec.get("groups"):
            found.append(invalid(SPEC.child("user"), "", "at least one of user or group must be specified"))
        metadata.pop("managedFields", None)
        if self._local:
            found += self._check_local(spec, metadata, call.namespace)
        elif _filled(metadata):
            found.append(invalid(Path("metadata"), metadata, "must be empty"))
        if found:
            raise errors.invalid(GROUP, self._kind, "", found)
        extra = {key.lower(): tuple(values or ()) for key, values in (spec.get("extra") or {}).items()}
        user = User(spec.get("user") or "", tuple(spec.get("groups") or ()), spec.get("uid") or "", extra)
        return await answer(self._authorizer, self._kind, body, question(user, spec))

    @staticmethod
    def _check_local(spec: Mapping[str, Any], metadata: JSON, namespace: str) -> list[FieldError]:
        found = []
        named = metadata.pop("namespace", "") or namespace
        if _filled(metadata):
            found.append(invalid(Path("metadata"), metadata, "must be empty except for namespace"))
        resource = spec.get("resourceAttributes")
        if resource is not None and (resource.get("namespace") or "") != named:
            path = Path("spec.resourceAttributes.namespace")
            found.append(invalid(path, resource.get("namespace") or "", "must match metadata.namespace"))
        if spec.get("nonResourceAttributes") is not None:
            path = Path("spec.nonResourceAttributes")
            found.append(invalid(path, spec["nonResourceAttributes"], "disallowed on this kind of request"))
        return found


class SelfSubjectAccessReviews:
    """About the asker: `kubectl auth can-i`."""

    def __init__(self, authorizer: ModeAuthorizer) -> None:
        self._authorizer = authorizer

    async def __call__(self, call: Call, body: JSON) -> JSON:
        spec, metadata = body.get("spec") or {}, dict(body.get("metadata") or {})
        found = check_spec(spec)
        metadata.pop("managedFields", None)
        if _filled(metadata):
            found.append(invalid(Path("metadata"), metadata, "must be empty"))
        if found:
            raise errors.invalid(GROUP, "SelfSubjectAccessReview", "", found)
        return await answer(self._authorizer, "SelfSubjectAccessReview", body, question(call.user, spec))


class SelfSubjectRulesReviews:
    """All that the asker may do in a namespace: `kubectl auth can-i --list`."""

    def __init__(self, authorizer: ModeAuthorizer) -> None:
        self._authorizer = authorizer

    async def __call__(self, call: Call, body: JSON) -> JSON:
        namespace = (body.get("spec") or {}).get("namespace") or ""
        if not namespace:
            raise errors.bad_request("no namespace on request")
        return {
            "kind": "SelfSubjectRulesReview",
            "apiVersion": body.get("apiVersion") or f"{GROUP}/v1",
            "metadata": {},
            "spec": {},
            "status": dict(self._authorizer.rules_for(call.user, namespace).status()),
        }


def check_spec(spec: Mapping[str, Any]) -> list[FieldError]:
    resource, path = spec.get("resourceAttributes"), spec.get("nonResourceAttributes")
    found = []
    if resource is not None and path is not None:
        detail = "cannot be specified in combination with resourceAttributes"
        found.append(invalid(SPEC.child("nonResourceAttributes"), path, detail))
    if resource is None and path is None:
        detail = "exactly one of nonResourceAttributes or resourceAttributes must be specified"
        found.append(invalid(SPEC.child("resourceAttributes"), None, detail))
    for key in ("fieldSelector", "labelSelector"):
        selector = (resource or {}).get(key)
        if selector is None:
            continue
        where = SPEC.child("resourceAttributes", key)
        raw, requirements = selector.get("rawSelector"), selector.get("requirements")
        if raw and requirements:
            detail = "may not specified at the same time as requirements"
            found.append(invalid(where.child("rawSelector"), raw, detail))
        if not raw and not requirements:
            detail = f"when {where} is specified, requirements or rawSelector is required"
            found.append(required(where.child("requirements"), detail))
    return found


def question(user: User, spec: Mapping[str, Any]) -> Attributes:
    path = spec.get("nonResourceAttributes")
    if path is not None:
        return Attributes(user, path.get("verb") or "", path=path.get("path") or "")
    asked = spec["resourceAttributes"]
    return Attributes(
        user,
        asked.get("verb") or "",
        group=asked.get("group") or "",
        version=asked.get("version") or ALL_VERSIONS,
        resource=asked.get("resource") or "",
        subresource=asked.get("subresource") or "",
        namespace=asked.get("namespace") or "",
        name=asked.get("name") or "",
        field_selector=_field_selector(asked.get("fieldSelector")),
        label_selector=(asked.get("labelSelector") or {}).get("rawSelector") or "",
    )


async def answer(authorizer: ModeAuthorizer, kind: str, body: JSON, asked: Attributes) -> JSON:
    verdict, reason = await authorizer.authorize(asked)
    status: dict[str, Any] = {"allowed": verdict is Verdict.ALLOW}
    if verdict is Verdict.DENY:
        status["denied"] = True
    if reason:
        status["reason"] = reason
    return {
        "kind": kind,
        "apiVersion": body.get("apiVersion") or f"{GROUP}/v1",
        "metadata": dict(body.get("metadata") or {}),
        "spec": body.get("spec") or {},
        "status": status,
    }


def _field_selector(selector: Mapping[str, Any] | None) -> str:
    """As one text. What cannot be said so is left out: the question is then the broader one."""
    if not selector:
        return ""
    if selector.get("rawSelector"):
        return str(selector["rawSelector"])
    signs = {"In": "=", "NotIn": "!="}
    return ",".join(
        f"{one['key']}{signs[one['operator']]}{one['values'][0]}"
        for one in selector.get("requirements") or ()
        if one.get("operator") in signs and len(one.get("values") or ()) == 1
    )


def _filled(metadata: Mapping[str, Any]) -> bool:
    return any(value for key, value in metadata.items() if key != "creationTimestamp")
