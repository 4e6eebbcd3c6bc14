"""The restricted standard: what hardened pods look like. It replaces some checks of the baseline."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from apiserver.admission.pod_security import baseline
from apiserver.admission.pod_security.subject import (
    Check,
    Subject,
    Violation,
    containers,
    context,
    listed,
    plural,
    setters,
)

VOLUMES = frozenset(
    (
        "configMap",
        "csi",
        "downwardAPI",
        "emptyDir",
        "ephemeral",
        "image",
        "persistentVolumeClaim",
        "projected",
        "secret",
    )
)


def privilege_escalation(pod: Subject) -> Violation | None:
    if pod.on_windows:
        return None
    names = pod.names(lambda one: context(one).get("allowPrivilegeEscalation") is not False)
    if not names:
        return None
    detail = f"{containers(names)} must set securityContext.allowPrivilegeEscalation=false"
    return Violation("allowPrivilegeEscalation != false", detail)


def capabilities(pod: Subject) -> Violation | None:
    if pod.on_windows:
        return None

    def lists(container: Mapping[str, Any], key: str) -> set[str]:
        return set((context(container).get("capabilities") or {}).get(key) or ())

    def added(container: Mapping[str, Any]) -> set[str]:
        return lists(container, "add") - {"NET_BIND_SERVICE"}

    details = []
    keeping = pod.names(lambda one: "ALL" not in lists(one, "drop"))
    if keeping:
        details.append(f'{containers(keeping)} must set securityContext.capabilities.drop=["ALL"]')
    adding = pod.names(added)
    if adding:
        values = sorted(set().union(*(added(one) for one in pod.containers)))
        details.append(f"{containers(adding)} must not include {listed(values)} in securityContext.capabilities.add")
    return Violation("unrestricted capabilities", "; ".join(details)) if details else None


def volumes(pod: Subject) -> Violation | None:
    bad = {}
    for volume in pod.spec.get("volumes") or ():
        kinds = [key for key, value in volume.items() if key != "name" and value is not None]
        if not VOLUMES & set(kinds):
            bad[volume["name"]] = kinds[0] if kinds else "unknown"
    if not bad:
        return None
    kinds_used = sorted(set(bad.values()))
    uses = plural("uses", "use", len(bad))
    word = plural("restricted volume type", "restricted volume types", len(kinds_used))
    names = f"{plural('volume', 'volumes', len(bad))} {listed(bad)}"
    return Violation("restricted volume types", f"{names} {uses} {word} {listed(kinds_used)}")


def run_as_non_root(pod: Subject) -> Violation | None:
    if pod.in_user_namespace:
        return None
    own = pod.security.get("runAsNonRoot")
    explicit = pod.names(lambda one: context(one).get("runAsNonRoot") is False)
    bad = setters(own is False, explicit)
    if bad:
        detail = f"{' and '.join(bad)} must not set securityContext.runAsNonRoot=false"
        return Violation("runAsNonRoot != true", detail)
    implicit = pod.names(lambda one: context(one).get("runAsNonRoot") is None and not own)
    if implicit:
        detail = f"pod or {containers(implicit)} must set securityContext.runAsNonRoot=true"
        return Violation("runAsNonRoot != true", detail)
    return None


def run_as_user(pod: Subject) -> Violation | None:
    if pod.minor < 23 or pod.in_user_namespace:
        return None
    bad = setters(pod.security.get("runAsUser") == 0, pod.names(lambda one: context(one).get("runAsUser") == 0))
    return Violation("runAsUser=0", f"{' and '.join(bad)} must not set runAsUser=0") if bad else None


def seccomp(pod: Subject) -> Violation | None:
    if pod.on_windows:
        return None
    found = baseline.seccomp(pod)
    if found is not None:
        return found
    own = pod.security.get("seccompProfile") is not None
    implicit = pod.names(lambda one: context(one).get("seccompProfile") is None and not own)
    if not implicit:
        return None
    detail = (
        f'pod or {containers(implicit)} must set securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost"'
    )
    return Violation("seccompProfile", detail)


REPLACED = frozenset({baseline.capabilities, baseline.host_paths, baseline.proc_mount, baseline.seccomp})
CHECKS: tuple[Check, ...] = (
    privilege_escalation,
    capabilities,
    baseline.unmasked_proc,
    volumes,
    run_as_non_root,
    run_as_user,
    seccomp,
)
