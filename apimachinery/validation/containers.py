"""Rules of the three lists of containers in a pod."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from apimachinery import names
from apimachinery.fields import (
    FieldError,
    Path,
    duplicate,
    forbidden,
    invalid,
    not_found,
    not_supported,
    required,
    too_many,
)
from apimachinery.validation import amounts, environment, probes, security
from apimachinery.validation.volumes import pull_policy

Obj = dict[str, Any]
Errors = list[FieldError]

RESTART_POLICIES = ("Always", "Never", "OnFailure")
RESTART_ACTIONS = ("Restart", "RestartAllContainers")
INIT_ONLY = "may not be set for init containers without restartPolicy=Always"
#: What an ephemeral container may carry; all else is refused.
EPHEMERAL_FIELDS = frozenset(
    {
        "name",
        "image",
        "command",
        "args",
        "workingDir",
        "envFrom",
        "env",
        "volumeMounts",
        "volumeDevices",
        "terminationMessagePath",
        "terminationMessagePolicy",
        "imagePullPolicy",
        "securityContext",
        "stdin",
        "stdinOnce",
        "tty",
        "targetContainerName",
    }
)


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What containers are judged by besides themselves."""

    volumes: Mapping[str, Obj]
    claims: Collection[str]
    grace: int | None
    system: str | None
    restart_policy: str
    host_users: bool


def regular(listed: Sequence[Obj], around: Surroundings, path: Path) -> Errors:
    if not listed:
        return [required(path)]
    found: Errors = []
    seen: set[str] = set()
    for index, container in enumerate(listed):
        place, name = path.index(index), container.get("name") or ""
        found += _every(container, around, place)
        if name in seen:
            found.append(duplicate(place.child("name"), name))
        seen.add(name)
        found += probes.lifecycle(container, around.grace, around.system, place)
        for field in ("livenessProbe", "readinessProbe", "startupProbe"):
            found += probes.probe(container, field, place)
        found += restart_rules(container, place)
    return found + host_port_conflicts(listed, path)


def init(listed: Sequence[Obj], others: Sequence[Obj], around: Surroundings, path: Path) -> Errors:
    found: Errors = []
    seen = {container.get("name") or "" for container in others}
    for index, container in enumerate(listed):
        place, name = path.index(index), container.get("name") or ""
        found += _every(container, around, place) + restart_rules(container, place)
        if name in seen:
            found.append(duplicate(place.child("name"), name))
        elif name:
            seen.add(name)
        found += host_port_conflicts([container], path)
        sidecar = container.get("restartPolicy") == "Always"
        if sidecar:
            found += probes.lifecycle(container, around.grace, around.system, place)
        elif container.get("lifecycle") is not None:
            found.append(forbidden(place.child("lifecycle"), INIT_ONLY))
        for field in ("livenessProbe", "readinessProbe", "startupProbe"):
            if sidecar:
                found += probes.probe(container, field, place)
            elif container.get(field) is not None:
                found.append(forbidden(place.child(field), INIT_ONLY))
        if not sidecar:
            for number, policy in enumerate(container.get("resizePolicy") or ()):
                if policy.get("restartPolicy") == "RestartContainer":
                    where = place.child("resizePolicy").index(number).child("restartPolicy")
                    detail = "must not be set to 'RestartContainer' for non-sidecar initContainers"
                    found.append(invalid(where, "RestartContainer", detail))
    return found


def ephemeral(listed: Sequence[Obj], spec: Obj, around: Surroundings, path: Path) -> Errors:
    found: Errors = []
    others = {one.get("name") for field in ("containers", "initContainers") for one in spec.get(field) or ()}
    seen = set(others)
    for index, container in enumerate(listed):
        place, name = path.index(index), container.get("name") or ""
        found += _every(container, around, place) + trimmed_image(container, place)
        if name in seen:
            found.append(duplicate(place.child("name"), name))
        seen.add(name)
        target = container.get("targetContainerName")
        if target and target not in others:
            found.append(not_found(place.child("targetContainerName"), target))
        for field, value in container.items():
            if field not in EPHEMERAL_FIELDS and value not in (None, "", 0, False, [], {}):
                found.append(forbidden(place.child(field), "cannot be set for an Ephemeral Container"))
        for number, mount in enumerate(container.get("volumeMounts") or ()):
            for field in ("subPath", "subPathExpr"):
                if mount.get(field):
                    where = place.child("volumeMounts").index(number).child(field)
                    found.append(forbidden(where, "cannot be set for an Ephemeral Container"))
    return found


def trimmed_image(container: Obj, path: Path) -> Errors:
    """Only pods themselves are held to this, templates are not."""
    image = container.get("image") or ""
    if image.strip() == image:
        return []
    return [invalid(path.child("image"), image, "must not have leading or trailing whitespace")]


def _every(container: Obj, around: Surroundings, path: Path) -> Errors:
    name = container.get("name") or ""
    if not name:
        found: Errors = [required(path.child("name"))]
    else:
        found = [invalid(path.child("name"), name, text) for text in names.dns1123_label(name)]
    if not container.get("image"):
        found.append(required(path.child("image")))
    policy = container.get("terminationMessagePolicy") or ""
    if not policy:
        found.append(required(path.child("terminationMessagePolicy")))
    elif policy not in {"File", "FallbackToLogsOnError"}:
        known = ("File", "FallbackToLogsOnError")
        found.append(not_supported(path.child("terminationMessagePolicy"), policy, known))
    found += environment.ports(container.get("ports") or (), path.child("ports"))
    found += environment.variables(container.get("env") or (), path.child("env"))
    found += environment.sources(container.get("envFrom") or (), path.child("envFrom"))
    found += environment.mounts(container, around.volumes, path.child("volumeMounts"))
    found += environment.devices(container, around.volumes, path.child("volumeDevices"))
    found += pull_policy(container.get("imagePullPolicy") or "", path.child("imagePullPolicy"))
    found += amounts.requirements(container.get("resources") or {}, around.claims, path.child("resources"))
    found += _resize_policies(container.get("resizePolicy") or (), around.restart_policy, path.child("resizePolicy"))
    context = container.get("securityContext")
    return found + security.container_context(context, path.child("securityContext"), around.host_users)


def _resize_policies(listed: Sequence[Obj], pod_policy: str, path: Path) -> Errors:
    found: Errors = []
    seen: set[str] = set()
    for index, one in enumerate(listed):
        resource, policy = one.get("resourceName") or "", one.get("restartPolicy") or ""
        if resource in seen:
            found.append(duplicate(path.index(index), resource))
        seen.add(resource)
        if not resource:
            found.append(required(path))
        elif resource not in {"cpu", "memory"}:
            found.append(not_supported(path, resource, ("cpu", "memory")))
        if not policy:
            found.append(required(path))
        elif policy not in {"NotRequired", "RestartContainer"}:
            found.append(not_supported(path, policy, ("NotRequired", "RestartContainer")))
        if pod_policy == "Never" and policy != "NotRequired":
            detail = "must be 'NotRequired' when pod `restartPolicy` is 'Never'"
            found.append(invalid(path, policy, detail))
    return found


def restart_rules(container: Obj, path: Path) -> Errors:
    """A container's own restart policy and the rules by exit code that refine it."""
    policy, rules = container.get("restartPolicy"), container.get("restartPolicyRules") or ()
    place = path.child("restartPolicy")
    found: Errors = []
    if policy is None:
        if not rules:
            return []
        found.append(required(place, "must specify restartPolicy when restart rules are used"))
    elif policy not in RESTART_POLICIES:
        found.append(not_supported(place, policy, RESTART_POLICIES))
    if len(rules) > 20:
        found.append(too_many(path.child("restartPolicyRules"), len(rules), 20))
    for index, rule in enumerate(rules):
        where = path.child("restartPolicyRules").index(index)
        if rule.get("action") not in RESTART_ACTIONS:
            found.append(not_supported(where.child("action"), rule.get("action") or "", RESTART_ACTIONS))
        codes = rule.get("exitCodes")
        if codes is None:
            found.append(required(where.child("exitCodes"), "must be specified"))
            continue
        if codes.get("operator") not in {"In", "NotIn"}:
            at = where.child("exitCodes", "operator")
            found.append(not_supported(at, codes.get("operator") or "", ("In", "NotIn")))
        if len(codes.get("values") or ()) > 255:
            found.append(too_many(where.child("exitCodes", "values"), len(codes["values"]), 255))
    return found


def host_port_conflicts(listed: Sequence[Obj], path: Path) -> Errors:
    found: Errors = []
    taken: set[str] = set()
    for index, container in enumerate(listed):
        for number, port in enumerate(container.get("ports") or ()):
            if not port.get("hostPort"):
                continue
            text = f"{port.get('protocol') or ''}/{port.get('hostIP') or ''}/{port['hostPort']}"
            if text in taken:
                found.append(duplicate(path.index(index).child("ports").index(number).child("hostPort"), text))
            taken.add(text)
    return found
