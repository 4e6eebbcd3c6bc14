"""Rules of a container's ports, variables and mounts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from apimachinery import names
from apimachinery.fields import FieldError, Path, duplicate, forbidden, invalid, not_found, not_supported, required
from apimachinery.validation.downward import container_resource, object_field
from apimachinery.validation.volumes import no_backsteps, relative_path

Obj = dict[str, Any]
Errors = list[FieldError]

PROTOCOLS = ("SCTP", "TCP", "UDP")
ENVIRONMENT_FIELDS = frozenset(
    {
        "metadata.name",
        "metadata.namespace",
        "metadata.uid",
        "spec.nodeName",
        "spec.serviceAccountName",
        "status.hostIP",
        "status.hostIPs",
        "status.podIP",
        "status.podIPs",
    }
)
PROPAGATIONS = ("Bidirectional", "HostToContainer", "None")


def ports(listed: Sequence[Obj], path: Path) -> Errors:
    found: Errors = []
    seen: set[str] = set()
    for index, port in enumerate(listed):
        place, name = path.index(index), port.get("name") or ""
        if name:
            wrong = names.port_name(name)
            found += [invalid(place.child("name"), name, text) for text in wrong]
            if not wrong:
                if name in seen:
                    found.append(duplicate(place.child("name"), name))
                seen.add(name)
        number, host = port.get("containerPort") or 0, port.get("hostPort") or 0
        if not number:
            found.append(required(place.child("containerPort")))
        else:
            found += [invalid(place.child("containerPort"), number, text) for text in names.port_number(number)]
        if host:
            found += [invalid(place.child("hostPort"), host, text) for text in names.port_number(host)]
        found += protocol(port.get("protocol") or "", place.child("protocol"))
    return found


def protocol(name: str, path: Path) -> Errors:
    if not name:
        return [required(path)]
    return [] if name in PROTOCOLS else [not_supported(path, name, PROTOCOLS)]


def variables(listed: Sequence[Obj], path: Path) -> Errors:
    found: Errors = []
    for index, variable in enumerate(listed):
        place, name = path.index(index), variable.get("name") or ""
        if not name:
            found.append(required(place.child("name")))
        else:
            found += [invalid(place.child("name"), name, text) for text in names.environment_name(name)]
        source = variable.get("valueFrom")
        if source is not None:
            found += _value_from(source, variable.get("value") or "", place.child("valueFrom"))
    return found


def _value_from(source: Obj, value: str, path: Path) -> Errors:
    found: Errors = []
    count = 0
    if source.get("fieldRef") is not None:
        count += 1
        found += object_field(source["fieldRef"], ENVIRONMENT_FIELDS, path.child("fieldRef"))
    if source.get("resourceFieldRef") is not None:
        count += 1
        found += container_resource(source["resourceFieldRef"], path.child("resourceFieldRef"), in_volume=False)
    for field in ("configMapKeyRef", "secretKeyRef"):
        if source.get(field) is not None:
            count += 1
            found += _key_reference(source[field], path.child(field))
    if source.get("fileKeyRef") is not None:
        count += 1
        found += _file_key(source["fileKeyRef"], path.child("fileKeyRef"))
    if not count:
        detail = (
            "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`"
        )
        found.append(invalid(path, "", detail))
    elif value:
        found.append(invalid(path, "", "may not be specified when `value` is not empty"))
    elif count > 1:
        found.append(invalid(path, "", "may not have more than one field specified at a time"))
    return found


def _key_reference(reference: Obj, path: Path) -> Errors:
    name, key = reference.get("name") or "", reference.get("key") or ""
    found = [invalid(path.child("name"), name, text) for text in names.dns1123_subdomain(name)]
    if not key:
        return [*found, required(path.child("key"))]
    return found + [invalid(path.child("key"), key, text) for text in names.config_map_key(key)]


def _file_key(reference: Obj, path: Path) -> Errors:
    key, volume, file = (reference.get(field) or "" for field in ("key", "volumeName", "path"))
    found: Errors = []
    if not key:
        found.append(required(path.child("key")))
    else:
        found += [invalid(path.child("key"), key, text) for text in names.environment_name(key)]
    if not volume:
        found.append(required(path.child("volumeName")))
    else:
        found += [invalid(path.child("volumeName"), volume, text) for text in names.dns1123_label(volume)]
    return found + ([required(path.child("path"))] if not file else no_backsteps(file, path.child("path")))


def sources(listed: Sequence[Obj], path: Path) -> Errors:
    """`envFrom`."""
    found: Errors = []
    for index, source in enumerate(listed):
        place, prefix = path.index(index), source.get("prefix") or ""
        if prefix:
            found += [invalid(place.child("prefix"), prefix, text) for text in names.environment_name(prefix)]
        given = [field for field in ("configMapRef", "secretRef") if source.get(field) is not None]
        for field in given:
            name = source[field].get("name") or ""
            if not name:
                found.append(required(place.child(field, "name")))
            else:
                # Upstream judges the name as a prefix here.
                wrong = names.dns1123_subdomain(names.masked(name))
                found += [invalid(place.child(field, "name"), name, text) for text in wrong]
        if not given:
            found.append(invalid(path, "", "must specify one of: `configMapRef` or `secretRef`"))
        elif len(given) > 1:
            found.append(invalid(path, "", "may not have more than one field specified at a time"))
    return found


def mounts(container: Obj, volumes: Mapping[str, Obj], path: Path) -> Errors:
    found: Errors = []
    devices = {one.get("name") or "": one.get("devicePath") for one in container.get("volumeDevices") or ()}
    taken: set[str] = set()
    for index, mount in enumerate(container.get("volumeMounts") or ()):
        place, name, target = path.index(index), mount.get("name") or "", mount.get("mountPath") or ""
        if not name:
            found.append(required(place.child("name")))
        if name not in volumes:
            found.append(not_found(place.child("name"), name))
        if not target:
            found.append(required(place.child("mountPath")))
        if target in taken:
            found.append(invalid(place.child("mountPath"), target, "must be unique"))
        taken.add(target)
        if name in devices:
            found.append(invalid(place.child("name"), name, "must not already exist in volumeDevices"))
        if target in devices.values():
            detail = "must not already exist as a path in volumeDevices"
            found.append(invalid(place.child("mountPath"), target, detail))
        found += _mount_options(mount, container, place, path)
    return found


def _mount_options(mount: Obj, container: Obj, place: Path, path: Path) -> Errors:
    found: Errors = []
    sub, expression = mount.get("subPath") or "", mount.get("subPathExpr") or ""
    if sub:
        found += relative_path(sub, path.child("subPath"))
    if expression:
        if sub:
            detail = "subPathExpr and subPath are mutually exclusive"
            found.append(invalid(place.child("subPathExpr"), expression, detail))
        found += relative_path(expression, path.child("subPathExpr"))
    propagation = mount.get("mountPropagation")
    if propagation is not None:
        where = path.child("mountPropagation")
        if propagation not in PROPAGATIONS:
            found.append(not_supported(where, propagation, PROPAGATIONS))
        if propagation == "Bidirectional" and not (container.get("securityContext") or {}).get("privileged"):
            detail = "Bidirectional mount propagation is available only to privileged containers"
            found.append(forbidden(where, detail))
    recursive = mount.get("recursiveReadOnly")
    where = path.child("recursiveReadOnly")
    if recursive in {"Enabled", "IfPossible"}:
        if not mount.get("readOnly"):
            found.append(forbidden(where, "may only be specified when readOnly is true"))
        if propagation not in {None, "None"}:
            found.append(forbidden(where, "may only be specified when mountPropagation is None or not specified"))
    elif recursive not in {None, "Disabled"}:
        found.append(not_supported(where, recursive, ("Disabled", "Enabled", "IfPossible")))
    return found


def devices(container: Obj, volumes: Mapping[str, Obj], path: Path) -> Errors:
    found: Errors = []
    mounted = {one.get("name") or "": one.get("mountPath") for one in container.get("volumeMounts") or ()}
    used_names: set[str] = set()
    used_paths: set[str] = set()
    for index, device in enumerate(container.get("volumeDevices") or ()):
        place, name, target = path.index(index), device.get("name") or "", device.get("devicePath") or ""
        at_name, at_path = place.child("name"), place.child("devicePath")
        if not name:
            found.append(required(at_name))
        if name in used_names:
            found.append(invalid(at_name, name, "must be unique"))
        volume = volumes.get(name)
        if volume is None:
            found.append(not_found(at_name, name))
        elif volume.get("persistentVolumeClaim") is None and volume.get("ephemeral") is None:
            detail = "can only use volume source type of PersistentVolumeClaim or Ephemeral for block mode"
            found.append(invalid(at_name, name, detail))
        if not target:
            found.append(required(at_path))
        if target in used_paths:
            found.append(invalid(at_path, target, "must be unique"))
        if target and no_backsteps(target, path):
            found.append(invalid(at_path, target, "can not contain backsteps ('..')"))
        else:
            used_paths.add(target)
        if name in mounted:
            found.append(invalid(at_name, name, "must not already exist in volumeMounts"))
        if target in mounted.values():
            found.append(invalid(at_path, target, "must not already exist as a path in volumeMounts"))
        if name:
            used_names.add(name)
    return found
