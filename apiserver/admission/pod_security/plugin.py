"""The plugin: pods are refused or warned of, templates only warned of, and labels of namespaces must make sense."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from apimachinery import errors
from apimachinery.fields import quote
from apiserver.admission.chain import CORE, Plugin, known, refuse
from apiserver.admission.pod_security import baseline, restricted
from apiserver.admission.pod_security.levels import Policy, Standard, policy_of
from apiserver.admission.pod_security.subject import Check, Subject, Violation
from apiserver.ports import JSON, AdmissionRequest, Objects, Operation

#: Keys in the audit log.
ENFORCED, VIOLATIONS = "pod-security.kubernetes.io/enforce-policy", "pod-security.kubernetes.io/audit-violations"
MOST_PODS = 3000  # how many pods of a namespace are looked at when its labels change
IGNORED = frozenset({"exec", "attach", "binding", "eviction", "log", "portforward", "proxy", "status"})
#: where a kind keeps the template of its pods
TEMPLATES: Mapping[tuple[str, str], tuple[str, ...]] = {
    (CORE, "podtemplates"): ("template",),
    (CORE, "replicationcontrollers"): ("spec", "template"),
    ("apps", "replicasets"): ("spec", "template"),
    ("apps", "deployments"): ("spec", "template"),
    ("apps", "statefulsets"): ("spec", "template"),
    ("apps", "daemonsets"): ("spec", "template"),
    ("batch", "jobs"): ("spec", "template"),
    ("batch", "cronjobs"): ("spec", "jobTemplate", "spec", "template"),
}


class PodSecurity(Plugin):
    name: ClassVar[str] = "PodSecurity"
    handles: ClassVar[frozenset[tuple[str, str]] | None] = frozenset({(CORE, "namespaces"), (CORE, "pods"), *TEMPLATES})
    operations: ClassVar[frozenset[Operation]] = frozenset({Operation.CREATE, Operation.UPDATE})

    def __init__(self, objects: Objects) -> None:
        self._objects = objects
        self._namespaces = known(CORE, "v1", "namespaces")
        self._pods = known(CORE, "v1", "pods")

    async def validate(self, request: AdmissionRequest) -> None:
        if request.obj is None:
            return
        kind = (request.info.group, request.info.plural)
        if kind == (CORE, "namespaces"):
            if not request.subresource:
                self._validate_namespace(request, request.obj)
        elif kind == (CORE, "pods"):
            if request.subresource not in IGNORED:
                await self._validate_pod(request, request.obj)
        elif not request.subresource:
            await self._warn_of_template(request, request.obj, TEMPLATES[kind])

    async def _validate_pod(self, request: AdmissionRequest, pod: JSON) -> None:
        policy = await self._policy(request.namespace)
        request.annotations[ENFORCED] = str(policy.enforce)
        if policy.is_void or (request.old is not None and not _differs(pod, request.old)):
            return
        found = violations(pod, policy.enforce)
        _audit(request, pod, policy)
        if found:
            raise refuse(request, f"violates PodSecurity {quote(str(policy.enforce))}: {told(found)}")
        _warn(request, pod, policy)

    async def _warn_of_template(self, request: AdmissionRequest, obj: JSON, path: tuple[str, ...]) -> None:
        policy = await self._policy(request.namespace)
        template: Any = obj
        for key in path:
            template = (template or {}).get(key)
        if template:
            _audit(request, template, policy)
            _warn(request, template, policy)

    async def _policy(self, namespace: str) -> Policy:
        found = self._objects.get(self._namespaces, "", namespace)
        if found is None:
            found = await self._objects.get_latest(self._namespaces, "", namespace)
        if found is None:
            raise errors.internal(f"failed to lookup namespace {quote(namespace)}")
        return policy_of(found["metadata"].get("labels") or {})[0]

    def _validate_namespace(self, request: AdmissionRequest, namespace: JSON) -> None:
        policy, wrong = policy_of(namespace["metadata"].get("labels") or {})
        if request.old is None:
            before, wrong_before = None, None
        else:
            before, wrong_before = policy_of(request.old["metadata"].get("labels") or {})
        if wrong and wrong != wrong_before:
            raise errors.invalid("", "Namespace", namespace["metadata"].get("name", ""), wrong)
        if before is None or not _tightened(before.enforce, policy.enforce):
            return
        request.warnings += self._pods_that_violate(namespace["metadata"]["name"], policy.enforce)

    def _pods_that_violate(self, namespace: str, standard: Standard) -> list[str]:
        pods = self._objects.list(self._pods, namespace)
        by_reason: dict[str, list[str]] = {}
        for pod in pods[:MOST_PODS]:
            found = violations(pod, standard)
            if found:
                reason = ", ".join(one.reason for one in found)
                by_reason.setdefault(reason, []).append(pod["metadata"]["name"])
        warnings = []
        if len(pods) > MOST_PODS:
            seen = f"the first {MOST_PODS} of {len(pods)} existing pods"
            warnings.append(f"new PodSecurity enforce level only checked against {seen}")
        if by_reason:
            warnings.append(
                f"existing pods in namespace {quote(namespace)} violate the new PodSecurity enforce level "
                f"{quote(str(standard))}"
            )
        return warnings + sorted(f"{_counted(sorted(names))}: {reason}" for reason, names in by_reason.items())


def violations(pod: JSON, standard: Standard) -> list[Violation]:
    """`pod` may be a template."""
    if standard.level == "privileged":
        return []
    subject = Subject(pod.get("metadata") or {}, pod.get("spec") or {}, standard.minor)
    return [found for check in checks(standard.level) if (found := check(subject)) is not None]


def checks(level: str) -> tuple[Check, ...]:
    if level == "baseline":
        return baseline.CHECKS
    kept = tuple(check for check in baseline.CHECKS if check not in restricted.REPLACED)
    return (*kept, *restricted.CHECKS)


def told(found: list[Violation]) -> str:
    return ", ".join(f"{one.reason} ({one.detail})" if one.detail else one.reason for one in found)


def _audit(request: AdmissionRequest, pod: JSON, policy: Policy) -> None:
    if found := violations(pod, policy.audit):
        request.annotations[VIOLATIONS] = f"would violate PodSecurity {quote(str(policy.audit))}: {told(found)}"


def _warn(request: AdmissionRequest, pod: JSON, policy: Policy) -> None:
    found = violations(pod, policy.warn)
    if found:
        request.warnings.append(f"would violate PodSecurity {quote(str(policy.warn))}: {told(found)}")


def _tightened(before: Standard, after: Standard) -> bool:
    if after in (before, Standard()) or after.level == "privileged":
        return False
    return before.minor != after.minor or after.strictness > before.strictness


def _counted(names: list[str]) -> str:
    others = len(names) - 1
    return names[0] if not others else f"{names[0]} (and {others} other {'pod' if others == 1 else 'pods'})"


def _differs(pod: JSON, old: JSON) -> bool:
    """Whether the update could make a difference: other images, more containers."""

    def images(obj: JSON) -> list[list[tuple[str, str]]]:
        keys = ("initContainers", "containers", "ephemeralContainers")
        return [[(one["name"], one.get("image", "")) for one in obj["spec"].get(key) or ()] for key in keys]

    return images(pod) != images(old)
