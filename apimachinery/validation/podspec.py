"""Rules of a PodSpec wherever it stands, and of pod templates."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from apimachinery import names
from apimachinery.alike import Remembered, content
from apimachinery.fields import (
    FieldError,
    Path,
    duplicate,
    forbidden,
    invalid,
    not_found,
    not_supported,
    required,
    too_long,
)
from apimachinery.podspec import resources
from apimachinery.validation import amounts, containers, placement, security
from apimachinery.validation.metadata import label_key, labels, valid_annotations
from apimachinery.validation.volumes import volumes

Obj = dict[str, Any]
Errors = list[FieldError]

MIRROR = "kubernetes.io/config.mirror"
DELETION_COST = "controller.kubernetes.io/pod-deletion-cost"
DNS_POLICIES = ("ClusterFirstWithHostNet", "ClusterFirst", "Default", "None")
RESTART_POLICIES = ("Always", "OnFailure", "Never")
WINDOWS = "cannot be set for a windows pod"
CONTAINER_FIELDS = ("initContainers", "containers", "ephemeralContainers")


def each_container(spec: Obj, path: Path) -> Iterator[tuple[Obj, Path]]:
    """All containers of a pod with their places, init containers first."""
    for field in CONTAINER_FIELDS:
        for index, container in enumerate(spec.get(field) or ()):
            yield container, path.child(field).index(index)


_valid: Remembered[bool] = Remembered()
_TOKEN_VOLUME = re.compile(rb'"kube-api-access-[a-z0-9]{5}"')


def pod_spec(spec: Obj, path: Path, *, meta: Obj | None = None) -> Errors:
    """`meta` is the pod's own metadata; templates have none, and are freer in a few points."""
    text = _series(spec, meta)
    if text and _valid.get(text):
        return []
    found = _pod_spec(spec, path, meta)
    if text and not found:
        _valid.keep(text, True)
    return found


def _series(spec: Obj, meta: Obj | None) -> bytes:
    """Equal for pods of one template: their spec but for the volume name that admission makes up. b"": judge alone."""
    if any(volume.get("ephemeral") for volume in spec.get("volumes") or ()):
        return b""  # the pod's name is part of its claims' names
    text = content(spec)
    made_up = set(_TOKEN_VOLUME.findall(text))
    if len(made_up) > 1:
        return b""
    for name in made_up:
        text = text.replace(name, b"*")
    kind = b"template" if meta is None else b"mirror" if MIRROR in (meta.get("annotations") or {}) else b"pod"
    return kind + text if text else b""


def _pod_spec(spec: Obj, path: Path, meta: Obj | None) -> Errors:
    found: Errors = []
    grace = spec.get("terminationGracePeriodSeconds")
    if grace is None:
        found.append(required(path.child("terminationGracePeriodSeconds")))
    pod_name = (meta or {}).get("name") or ""
    known, wrong = volumes(spec.get("volumes") or (), pod_name, path.child("volumes"))
    found += wrong
    found += _resource_claims(spec.get("resourceClaims") or (), meta, path.child("resourceClaims"))
    around = containers.Surroundings(
        volumes=known,
        claims={claim["name"] for claim in spec.get("resourceClaims") or () if claim.get("name")},
        grace=grace,
        system=(spec.get("os") or {}).get("name") if spec.get("os") is not None else None,
        restart_policy=spec.get("restartPolicy") or "",
        host_users=spec.get("hostUsers") is not False,
    )
    regular, first = spec.get("containers") or (), spec.get("initContainers") or ()
    found += containers.regular(regular, around, path.child("containers"))
    found += containers.init(first, regular, around, path.child("initContainers"))
    late = spec.get("ephemeralContainers") or ()
    found += containers.ephemeral(late, spec, around, path.child("ephemeralContainers"))
    found += _pod_level_resources(spec, around, path)
    found += _host_network_ports(spec, path, is_pod=meta is not None)
    found += one_of(spec.get("restartPolicy") or "", RESTART_POLICIES, path.child("restartPolicy"))
    found += one_of(spec.get("dnsPolicy") or "", DNS_POLICIES, path.child("dnsPolicy"))
    found += labels(spec.get("nodeSelector"), path.child("nodeSelector"))
    found += security.pod_context(spec, path.child("securityContext"))
    found += placement.affinity(spec.get("affinity"), path.child("affinity"))
    found += _dns_config(spec, path.child("dnsConfig"))
    found += _gates(spec, path)
    constraints = spec.get("topologySpreadConstraints") or ()
    found += placement.spread_constraints(constraints, path.child("topologySpreadConstraints"))
    found += _host_users(spec, path) + _hostname(spec, path) + _plain_fields(spec, path)
    found += _system(spec, path)
    return found + _file_key_volumes(spec, path)


def one_of(value: str, known: Sequence[str], path: Path) -> Errors:
    """A required choice."""
    if not value:
        return [required(path)]
    return [] if value in known else [not_supported(path, value, known)]


def _resource_claims(listed: Sequence[Obj], meta: Obj | None, path: Path) -> Errors:
    found: Errors = []
    seen: set[str] = set()
    mirror = MIRROR in ((meta or {}).get("annotations") or {})
    for index, claim in enumerate(listed):
        if mirror:
            found.append(forbidden(Path("[]"), "static pods do not support resource claims"))
            continue
        place, name = path.index(index), claim.get("name") or ""
        if not name:
            found.append(required(place.child("name")))
        elif name in seen:
            found.append(duplicate(place.child("name"), name))
        else:
            found += [invalid(place.child("name"), name, text) for text in names.dns1123_label(name)]
            seen.add(name)
        given = [f for f in ("resourceClaimName", "resourceClaimTemplateName") if claim.get(f) is not None]
        if len(given) == 2:
            detail = "at most one of `resourceClaimName` or `resourceClaimTemplateName` may be specified"
            found.append(invalid(place, claim, detail))
        elif not given:
            detail = "must specify one of: `resourceClaimName`, `resourceClaimTemplateName`"
            found.append(invalid(place, claim, detail))
        for field in given:
            found += [invalid(place.child(field), claim[field], t) for t in names.dns1123_subdomain(claim[field])]
    return found


def _pod_level_resources(spec: Obj, around: containers.Surroundings, path: Path) -> Errors:
    wanted = spec.get("resources")
    if wanted is None:
        return []
    place = path.child("resources")
    if around.system == "windows":
        return [forbidden(place, "may not be set for a windows pod")]
    found: Errors = []
    if wanted.get("claims") is not None:
        found.append(forbidden(place.child("claims"), "claims may not be set for Resources at pod-level"))
    found += amounts.requirements(wanted, around.claims, place, amounts.pod_resource_name)
    if found:
        return found
    try:
        requests, limits = resources.amounts(wanted.get("requests")), resources.amounts(wanted.get("limits"))
        needed, bounded = resources.of_containers(spec, "requests"), resources.of_containers(spec, "limits")
        of_each = [
            resources.amounts((one.get("resources") or {}).get("limits")) for one in spec.get("containers") or ()
        ]
    except ValueError:
        return found  # complained about where the amount stands
    for name, need in needed.items():
        if name in requests and need > requests[name]:
            detail = f"must be greater than or equal to aggregate container requests of {need}"
            found.append(invalid(place.child("requests").key(name), str(requests[name]), detail))
    for name, need in bounded.items():
        if amounts.is_huge_page(name) and name in limits and need > limits[name]:
            detail = f"must be greater than or equal to aggregate container limits of {need}"
            found.append(invalid(place.child("limits").key(name), str(limits[name]), detail))
    for index, table in enumerate(of_each):
        for name, limit in table.items():
            if name in limits and limit > limits[name]:
                where = place.child("containers").index(index).key(name).child("limits")
                detail = f"must be less than or equal to pod limits of {limits[name]}"
                found.append(invalid(where, str(limit), detail))
    return found


def _host_network_ports(spec: Obj, path: Path, *, is_pod: bool) -> Errors:
    if not spec.get("hostNetwork"):
        return []
    found: Errors = []
    for index, container in enumerate(spec.get("containers") or ()):
        for number, port in enumerate(container.get("ports") or ()):
            host, own = port.get("hostPort") or 0, port.get("containerPort") or 0
            if (is_pod or host) and host != own:
                place = path.child("containers").index(index).child("ports").index(number).child("hostPort")
                found.append(invalid(place, host, "must match `containerPort` when `hostNetwork` is true"))
    return found


def _dns_config(spec: Obj, path: Path) -> Errors:
    config = spec.get("dnsConfig")
    if spec.get("dnsPolicy") == "None":
        if config is None:
            return [required(path, "must provide `dnsConfig` when `dnsPolicy` is None")]
        if not config.get("nameservers"):
            detail = "must provide at least one DNS nameserver when `dnsPolicy` is None"
            return [required(path.child("nameservers"), detail)]
    if config is None:
        return []
    found: Errors = []
    servers, searches = config.get("nameservers") or [], config.get("searches") or []
    if len(servers) > 3:
        found.append(invalid(path.child("nameservers"), servers, "must not have more than 3 nameservers"))
    for index, server in enumerate(servers):
        place = path.child("nameservers").index(index)
        found += [invalid(place, server, text) for text in names.ip_address(server)]
    if len(searches) > 32:
        found.append(invalid(path.child("searches"), searches, "must not have more than 32 search paths"))
    if len(" ".join(searches)) > 2048:
        detail = "must not have more than 2048 characters (including spaces) in the search list"
        found.append(invalid(path.child("searches"), searches, detail))
    for index, search in enumerate(searches):
        if search != ".":
            short = search.removesuffix(".")
            place = path.child("searches").index(index)
            found += [invalid(place, short, text) for text in names.dns1123_subdomain_with_underscore(short)]
    for index, option in enumerate(config.get("options") or ()):
        if not option.get("name"):
            found.append(required(path.child("options").index(index), "must not be empty"))
    return found


def _gates(spec: Obj, path: Path) -> Errors:
    found: Errors = []
    for index, gate in enumerate(spec.get("readinessGates") or ()):
        place, kind = path.child("readinessGates").index(index).child("conditionType"), gate.get("conditionType") or ""
        found += label_key(kind, place)
    seen: set[str] = set()
    for index, gate in enumerate(spec.get("schedulingGates") or ()):
        place, name = path.child("schedulingGates").index(index), gate.get("name") or ""
        found += label_key(name, place)
        if name in seen:
            found.append(duplicate(place, name))
        seen.add(name)
    return found


def _host_users(spec: Obj, path: Path) -> Errors:
    if spec.get("hostUsers") is not False:
        return []
    detail = "when `hostUsers` is false"
    named = (("hostNetwork", "hostNetwork"), ("hostPID", "HostPID"), ("hostIPC", "HostIPC"))
    found = [forbidden(path.child(shown), detail) for field, shown in named if spec.get(field)]
    for container, place in each_container(spec, path):
        if container.get("volumeDevices"):
            found.append(forbidden(place.child("volumeDevices"), detail))
    return found


def _hostname(spec: Obj, path: Path) -> Errors:
    name = spec.get("hostnameOverride")
    if name is None:
        return []
    place = path.child("hostnameOverride")
    found: Errors = []
    if spec.get("setHostnameAsFQDN"):
        found.append(forbidden(place, "may not be specified when setHostnameAsFQDN is true"))
    if spec.get("hostNetwork"):
        found.append(forbidden(place, "may not be specified when hostNetwork is true"))
    if len(name) > 64:
        found.append(too_long(place, "", 64))
    return found + [invalid(place, name, text) for text in names.dns1123_subdomain(name)]


def _plain_fields(spec: Obj, path: Path) -> Errors:
    found: Errors = []

    def name_at(field: str, rule: Any) -> None:
        if spec.get(field):
            found.extend(invalid(path.child(field), spec[field], text) for text in rule(spec[field]))

    name_at("serviceAccountName", names.dns1123_subdomain)
    name_at("nodeName", names.dns1123_subdomain)
    deadline = spec.get("activeDeadlineSeconds")
    if deadline is not None:
        place = path.child("activeDeadlineSeconds")
        found += [invalid(place, deadline, text) for text in names.in_range(deadline, 1, 2**31 - 1)]
    name_at("hostname", names.dns1123_label)
    name_at("subdomain", names.dns1123_label)
    found += placement.tolerations(spec.get("tolerations") or (), path.child("tolerations"))
    for index, alias in enumerate(spec.get("hostAliases") or ()):
        place, address = path.child("hostAliases").index(index), alias.get("ip") or ""
        found += [invalid(place.child("ip"), address, text) for text in names.ip_address(address)]
        for number, host in enumerate(alias.get("hostnames") or ()):
            where = place.child("hostnames").index(number)
            found += [invalid(where, host, text) for text in names.dns1123_subdomain(host)]
    name_at("priorityClassName", names.dns1123_subdomain)
    if spec.get("runtimeClassName") is not None:
        name = spec["runtimeClassName"]
        found += [invalid(path.child("runtimeClassName"), name, text) for text in names.dns1123_subdomain(name)]
    if spec.get("preemptionPolicy") is not None:
        known = ("PreemptLowerPriority", "Never")
        found += one_of(spec["preemptionPolicy"], known, path.child("preemptionPolicy"))
    if spec.get("overhead") is not None:
        found += amounts.requirements({"limits": spec["overhead"]}, (), path.child("overhead"))
    return found


def _system(spec: Obj, path: Path) -> Errors:
    system = spec.get("os")
    if system is None:
        return []
    name = system.get("name") or ""
    if not name:
        return [required(path.child("os", "name"))]
    if name not in {"linux", "windows"}:
        return [not_supported(path.child("os"), name, ("linux", "windows"))]
    found: Errors = []
    contexts = [(spec.get("securityContext") or {}, path.child("securityContext"))]
    contexts += [
        (one.get("securityContext") or {}, place.child("securityContext")) for one, place in each_container(spec, path)
    ]
    if name == "linux":
        detail = "windows options cannot be set for a linux pod"
        return [
            forbidden(p.child("windowsOptions"), detail) for c, p in contexts if c.get("windowsOptions") is not None
        ]
    for field in ("hostUsers", "hostPID", "hostIPC", "shareProcessNamespace"):
        if spec.get(field) is not None and (spec[field] or field in {"hostUsers", "shareProcessNamespace"}):
            found.append(forbidden(path.child(field), WINDOWS))
    for context, place in contexts:
        found += [
            forbidden(place.child(field), WINDOWS)
            for field, value in context.items()
            if field not in {"windowsOptions", "runAsNonRoot"} and value is not None
        ]
    return found


def _file_key_volumes(spec: Obj, path: Path) -> Errors:
    found: Errors = []
    known = {volume.get("name"): volume for volume in spec.get("volumes") or ()}
    for container, place in each_container(spec, path):
        for index, variable in enumerate(container.get("env") or ()):
            reference = (variable.get("valueFrom") or {}).get("fileKeyRef")
            if reference is None:
                continue
            name = reference.get("volumeName") or ""
            where = place.child("env").index(index).child("valueFrom", "fileKeyRef", "volumeName")
            if name not in known:
                found.append(not_found(where, name))
            elif known[name].get("emptyDir") is None:
                found.append(invalid(where, name, "referenced volume must be of type emptyDir"))
    return found


def pod_annotations(table: Obj, spec: Obj, path: Path) -> Errors:
    """Annotations of pods and templates which mean something to the server."""
    found: Errors = []
    if MIRROR in table and not spec.get("nodeName"):
        detail = "must set spec.nodeName if mirror pod annotation is set"
        found.append(invalid(path.key(MIRROR), table[MIRROR], detail))
    cost = table.get(DELETION_COST)
    if cost is not None and not _is_int32(cost):
        found.append(invalid(path.key(DELETION_COST), cost, "must be a 32bit integer"))
    found += security.seccomp_annotations(table, path)
    known = {container.get("name") or "" for container, _ in each_container(spec, path)}
    return found + security.app_armor_annotations(table, known, path)


def _is_int32(text: str) -> bool:
    digits = text.removeprefix("-")
    plain = digits.isascii() and digits.isdigit() and (digits == "0" or not digits.startswith("0")) and text != "-0"
    return plain and -(2**31) <= int(text) < 2**31


def matching_profiles(table: Obj, spec: Obj, path: Path) -> Errors:
    """Fields and older annotations for the same security profile must agree."""
    found: Errors = []
    whole = spec.get("securityContext") or {}
    if whole.get("seccompProfile") and security.SECCOMP_POD in table:
        place = path.child("securityContext", "seccompProfile")
        found += security.matching_annotation(table[security.SECCOMP_POD], whole["seccompProfile"], place, "seccomp")
    for container, place in each_container(spec, path):
        profile = (container.get("securityContext") or {}).get("seccompProfile")
        annotation = table.get(security.SECCOMP_CONTAINER + (container.get("name") or ""))
        if profile and annotation is not None:
            where = place.child("securityContext", "seccompProfile")
            found += security.matching_annotation(annotation, profile, where, "seccomp")
    for container, place in each_container(spec, path):
        profile = (container.get("securityContext") or {}).get("appArmorProfile") or whole.get("appArmorProfile")
        annotation = table.get(security.APP_ARMOR_PREFIX + (container.get("name") or ""))
        if profile and annotation is not None:
            where = place.child("securityContext", "appArmorProfile")
            found += security.matching_annotation(annotation, profile, where, "apparmor")
    return found


def pod_template(template: Obj, path: Path) -> Errors:
    """A PodTemplateSpec; note that upstream reports its labels as `template.labels`."""
    meta, spec = template.get("metadata") or {}, template.get("spec") or {}
    table = meta.get("annotations") or {}
    found = labels(meta.get("labels"), path.child("labels"))
    found += valid_annotations(table, path.child("annotations"))
    found += pod_annotations(table, spec, path.child("annotations"))
    found += pod_spec(spec, path.child("spec"))
    found += matching_profiles(table, spec, path.child("spec"))
    if spec.get("ephemeralContainers"):
        place = path.child("spec", "ephemeralContainers")
        found.append(forbidden(place, "ephemeral containers not allowed in pod template"))
    return found
