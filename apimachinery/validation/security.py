"""Rules of security contexts, and of the annotations that preceded their fields."""

from __future__ import annotations

import re
from typing import Any

from apimachinery import names
from apimachinery.fields import (
    FieldError,
    Path,
    duplicate,
    forbidden,
    invalid,
    not_supported,
    quote,
    required,
    too_long,
)
from apimachinery.validation.volumes import relative_path

Obj = dict[str, Any]
Errors = list[FieldError]

PROFILE_TYPES = ("Localhost", "RuntimeDefault", "Unconfined")
APP_ARMOR_PREFIX = "container.apparmor.security.beta.kubernetes.io/"
SECCOMP_POD = "seccomp.security.alpha.kubernetes.io/pod"
SECCOMP_CONTAINER = "container.seccomp.security.alpha.kubernetes.io/"
_SYSCTL = r"([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?"
_sysctl_re = re.compile(_SYSCTL, re.ASCII)
_IPC_SYSCTLS = ("kernel.shm", "kernel.msg", "fs.mqueue.")


def seccomp_profile(profile: Obj | None, path: Path) -> Errors:
    if profile is None:
        return []
    kind, local = profile.get("type") or "", profile.get("localhostProfile")
    found: Errors = []
    if not kind:
        found.append(required(path.child("type"), "type is required when seccompProfile is set"))
    elif kind not in PROFILE_TYPES:
        found.append(not_supported(path.child("type"), kind, PROFILE_TYPES))
    if kind == "Localhost":
        if local is None:
            detail = "must be set when seccomp type is Localhost"
            found.append(required(path.child("localhostProfile"), detail))
        else:
            found += relative_path(local, path.child("localhostProfile"))
    elif local is not None:
        detail = "can only be set when seccomp type is Localhost"
        found.append(invalid(path.child("localhostProfile"), profile, detail))
    return found


def app_armor_profile(profile: Obj | None, path: Path) -> Errors:
    if profile is None:
        return []
    kind, local = profile.get("type") or "", profile.get("localhostProfile")
    place = path.child("localhostProfile")
    if not kind:
        return [required(path.child("type"), "type is required when appArmorProfile is set")]
    if kind not in PROFILE_TYPES:
        return [not_supported(path.child("type"), kind, PROFILE_TYPES)]
    if kind != "Localhost":
        detail = "can only be set when AppArmor type is Localhost"
        return [invalid(place, local, detail)] if local is not None else []
    if local is None:
        return [required(place, "must be set when AppArmor type is Localhost")]
    found: Errors = []
    if local.strip() != local:
        found.append(invalid(place, local, "must not be padded with whitespace"))
    elif not local:
        found.append(required(place, "must be set when AppArmor type is Localhost"))
    if len(local) > 4095:
        found.append(too_long(place, "", 4095))
    return found


def _ids(context: Obj, path: Path, *fields: str) -> Errors:
    return [
        invalid(path.child(field), context[field], text)
        for field in fields
        if context.get(field) is not None
        for text in names.numeric_id(context[field])
    ]


def container_context(context: Obj | None, path: Path, host_users: bool) -> Errors:
    if context is None:
        return []
    found = _ids(context, path, "runAsUser", "runAsGroup")
    proc_mount = context.get("procMount")
    if proc_mount is not None:
        place = path.child("procMount")
        if proc_mount not in {"Default", "Unmasked"}:
            found.append(not_supported(place, proc_mount, ("Default", "Unmasked")))
        if host_users and proc_mount == "Unmasked":
            found.append(invalid(place, proc_mount, "`hostUsers` must be false to use `Unmasked`"))
    found += seccomp_profile(context.get("seccompProfile"), path.child("seccompProfile"))
    if context.get("allowPrivilegeEscalation") is False:
        if context.get("privileged"):
            detail = "cannot set `allowPrivilegeEscalation` to false and `privileged` to true"
            found.append(invalid(path, context, detail))
        if "CAP_SYS_ADMIN" in ((context.get("capabilities") or {}).get("add") or ()):
            detail = "cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN"
            found.append(invalid(path, context, detail))
    return found + app_armor_profile(context.get("appArmorProfile"), path.child("appArmorProfile"))


def pod_context(spec: Obj, path: Path) -> Errors:
    """`path` is the context's; host namespaces live in the pod's spec beside it."""
    context = spec.get("securityContext")
    if context is None:
        return []
    found = _ids(context, path, "fsGroup", "runAsUser", "runAsGroup")
    for index, group in enumerate(context.get("supplementalGroups") or ()):
        place = path.child("supplementalGroups").index(index)
        found += [invalid(place, group, text) for text in names.numeric_id(group)]
    if spec.get("shareProcessNamespace") and spec.get("hostPID"):
        detail = "ShareProcessNamespace and HostPID cannot both be enabled"
        found.append(invalid(path.child("shareProcessNamespace"), True, detail))
    found += _sysctls(spec, context.get("sysctls") or [], path.child("sysctls"))
    policy = context.get("fsGroupChangePolicy")
    if policy is not None and policy not in {"Always", "OnRootMismatch"}:
        found.append(not_supported(path.child("fsGroupChangePolicy"), policy, ("Always", "OnRootMismatch")))
    found += seccomp_profile(context.get("seccompProfile"), path.child("seccompProfile"))
    found += app_armor_profile(context.get("appArmorProfile"), path.child("appArmorProfile"))
    policy = context.get("supplementalGroupsPolicy")
    if policy is not None and policy not in {"Merge", "Strict"}:
        found.append(not_supported(path.child("supplementalGroupsPolicy"), policy, ("Merge", "Strict")))
    policy = context.get("seLinuxChangePolicy")
    if policy is not None and policy not in {"MountOption", "Recursive"}:
        found.append(not_supported(path.child("seLinuxChangePolicy"), policy, ("MountOption", "Recursive")))
    return found


def _sysctls(spec: Obj, listed: list[Obj], path: Path) -> Errors:
    found: Errors = []
    seen: set[str] = set()
    for index, one in enumerate(listed):
        place, name = path.index(index).child("name"), one.get("name") or ""
        if not name:
            found.append(required(place))
        elif len(name) > 253 or not _sysctl_re.fullmatch(name):
            found.append(invalid(place, name, f"must have at most 253 characters and match regex ^{_SYSCTL}$"))
        elif name in seen:
            found.append(duplicate(place, name))
        dotted = name.replace("/", ".")
        if spec.get("hostNetwork") and dotted.startswith("net."):
            found.append(invalid(place, name, "may not be specified when 'hostNetwork' is true"))
        elif spec.get("hostIPC") and (dotted.startswith(_IPC_SYSCTLS) or dotted == "kernel.sem"):
            found.append(invalid(place, name, "may not be specified when 'hostIPC' is true"))
        seen.add(name)
    return found


def seccomp_annotations(annotations: Obj, path: Path) -> Errors:
    found: Errors = []
    for key, value in annotations.items():
        if key != SECCOMP_POD and not key.startswith(SECCOMP_CONTAINER):
            continue
        if value in {"runtime/default", "docker/default", "unconfined"}:
            continue
        if value.startswith("localhost/"):
            found += relative_path(value.removeprefix("localhost/"), path.child(key))
        else:
            found.append(invalid(path.child(key), value, "must be a valid seccomp profile"))
    return found


def app_armor_annotations(annotations: Obj, containers: set[str], path: Path) -> Errors:
    found: Errors = []
    for key, value in annotations.items():
        if not key.startswith(APP_ARMOR_PREFIX):
            continue
        container = key.removeprefix(APP_ARMOR_PREFIX)
        if container not in containers:
            found.append(invalid(path.key(key), container, "container not found"))
        if value not in {"", "runtime/default", "unconfined"} and not value.startswith("localhost/"):
            found.append(invalid(path.key(key), value, f"invalid AppArmor profile name: {quote(value)}"))
    return found


def matching_annotation(annotation: str, profile: Obj, path: Path, subject: str) -> Errors:
    """An annotation and a field for the same thing must agree; `subject` is `seccomp` or `apparmor`."""
    kind, local = profile.get("type"), profile.get("localhostProfile")
    differs = forbidden(path.child("type"), f"{subject} type in annotation and field must match")
    if kind == "Unconfined":
        return [] if annotation == "unconfined" else [differs]
    if kind == "RuntimeDefault":
        accepted = {"runtime/default", "docker/default"} if subject == "seccomp" else {"runtime/default"}
        return [] if annotation in accepted else [differs]
    if kind == "Localhost":
        if not annotation.startswith("localhost/"):
            return [differs]
        if local is None or annotation.removeprefix("localhost/") != local:
            detail = f"{subject} profile in annotation and field must match"
            return [forbidden(path.child("localhostProfile"), detail)]
    return []
