"""Rules of PersistentVolumes, StorageClasses and what CSI drivers register."""

from __future__ import annotations

import copy
import posixpath
from collections.abc import Callable
from typing import Any

from apimachinery import names
from apimachinery.fields import FieldError, Path, duplicate, forbidden, invalid, not_supported, required, too_long
from apimachinery.strategies.equality import same
from apimachinery.validation.amounts import parsed, positive_amount
from apimachinery.validation.claims import VOLUME_MODES, access_modes
from apimachinery.validation.differences import differences
from apimachinery.validation.metadata import immutable, label_key, non_negative
from apimachinery.validation.placement import node_selector
from apimachinery.validation.volumes import csi_driver_name, host_path, nfs, no_backsteps

Obj = dict[str, Any]
Errors = list[FieldError]

SPEC = Path("spec")
RECLAIM = ("Delete", "Recycle", "Retain")
BINDING_MODES = ("Immediate", "WaitForFirstConsumer")


def _csi(source: Obj, path: Path) -> Errors:
    found = csi_driver_name(source.get("driver") or "", path.child("driver"))
    if not source.get("volumeHandle"):
        found.append(required(path.child("volumeHandle")))
    for field in (
        "controllerPublishSecretRef",
        "controllerExpandSecretRef",
        "nodePublishSecretRef",
        "nodeExpandSecretRef",
    ):
        if source.get(field) is not None:
            found += _secret(source[field], path.child(field))
    return found


def _secret(reference: Obj, path: Path) -> Errors:
    found: Errors = []
    for field, rule in (("name", names.dns1123_subdomain), ("namespace", names.dns1123_label)):
        text = reference.get(field) or ""
        found += (
            [required(path.child(field))]
            if not text
            else [invalid(path.child(field), text, wrong) for wrong in rule(text)]
        )
    return found


def _local(source: Obj, path: Path) -> Errors:
    return no_backsteps(source["path"], path.child("path")) if source.get("path") else [required(path.child("path"))]


def _with(*fields: str) -> Callable[[Obj, Path], Errors]:
    def rule(source: Obj, path: Path) -> Errors:
        return [required(path.child(field)) for field in fields if not source.get(field)]

    return rule


SOURCES: dict[str, Callable[[Obj, Path], Errors]] = {
    "hostPath": host_path,
    "gcePersistentDisk": _with("pdName"),
    "awsElasticBlockStore": _with("volumeID"),
    "glusterfs": _with("endpoints", "path"),
    "flocker": _with(),
    "nfs": nfs,
    "rbd": _with("monitors", "image"),
    "quobyte": _with("registry", "volume"),
    "cephfs": _with("monitors"),
    "iscsi": _with("targetPortal", "iqn"),
    "cinder": _with("volumeID"),
    "fc": _with(),
    "flexVolume": _with("driver"),
    "azureFile": _with("secretName", "shareName"),
    "vsphereVolume": _with("volumePath"),
    "photonPersistentDisk": _with("pdID"),
    "portworxVolume": _with("volumeID"),
    "azureDisk": _with("diskName", "diskURI"),
    "scaleIO": _with("gateway", "system", "volumeName"),
    "local": _local,
    "storageos": _with("volumeName"),
    "csi": _csi,
}


def persistent_volume(obj: Obj) -> Errors:
    spec = obj.get("spec") or {}
    modes = spec.get("accessModes") or []
    found: Errors = [] if modes else [required(SPEC.child("accessModes"))]
    found += access_modes(modes, SPEC.child("accessModes"))
    capacity = spec.get("capacity") or {}
    place = SPEC.child("capacity")
    if not capacity:
        found.append(required(place))
    if "storage" not in capacity or len(capacity) > 1:
        found.append(not_supported(place, capacity or None, ("storage",)))
    for name, text in capacity.items():
        amount = parsed(text)
        if amount is not None and amount.value() < 0:
            found.append(invalid(place.key(name), amount.value(), "must be a valid resource quantity"))
        found += positive_amount(text, place.key(name))
    policy = spec.get("persistentVolumeReclaimPolicy") or ""
    if policy and policy not in RECLAIM:
        found.append(not_supported(SPEC.child("persistentVolumeReclaimPolicy"), policy, RECLAIM))
    found += _affinity(spec)
    found += _source(spec)
    root = posixpath.normpath((spec.get("hostPath") or {}).get("path") or ".") == "/"
    if root and policy == "Recycle":
        detail = "may not be 'recycle' for a hostPath mount of '/'"
        found.append(forbidden(SPEC.child("persistentVolumeReclaimPolicy"), detail))
    return found + _classes(spec)


def _affinity(spec: Obj) -> Errors:
    affinity = spec.get("nodeAffinity")
    if affinity is None:
        return []
    place = SPEC.child("nodeAffinity", "required")
    if affinity.get("required") is None:
        return [required(place, "must specify required node constraints")]
    return node_selector(affinity["required"], place)


def _source(spec: Obj) -> Errors:
    given = [kind for kind in SOURCES if spec.get(kind) is not None]
    if not given:
        return [required(SPEC, "must specify a volume type")]
    found = SOURCES[given[0]](spec[given[0]], SPEC.child(given[0]))
    found += [forbidden(SPEC.child(kind), "may not specify more than 1 volume type") for kind in given[1:]]
    if given[0] == "local" and spec.get("nodeAffinity") is None:
        found.append(required(SPEC.child("nodeAffinity"), "Local volume requires node affinity"))
    return found


def _classes(spec: Obj) -> Errors:
    name, mode = spec.get("storageClassName") or "", spec.get("volumeMode")
    found = [invalid(SPEC.child("storageClassName"), name, t) for t in names.dns1123_subdomain(name)] if name else []
    if mode is not None and mode not in VOLUME_MODES:
        found.append(not_supported(SPEC.child("volumeMode"), mode, VOLUME_MODES))
    attributes, place = spec.get("volumeAttributesClassName"), SPEC.child("volumeAttributesClassName")
    if attributes is not None:
        if not attributes:
            found.append(required(place, "an empty string is disallowed"))
        else:
            found += [invalid(place, attributes, text) for text in names.dns1123_subdomain(attributes)]
        if spec.get("csi") is None:
            detail = "has to be specified when using volumeAttributesClassName"
            found.append(required(SPEC.child("csi"), detail))
    return found


def persistent_volume_update(new: Obj, old: Obj) -> Errors:
    spec, before = new.get("spec") or {}, old.get("spec") or {}
    mine = {kind: copy.deepcopy(spec[kind]) for kind in SOURCES if spec.get(kind) is not None}
    theirs = {kind: before[kind] for kind in SOURCES if before.get(kind) is not None}
    if "csi" in mine and "csi" in theirs and theirs["csi"].get("controllerExpandSecretRef") is None:
        mine["csi"].pop("controllerExpandSecretRef", None)
    found: Errors = []
    if not same(mine, theirs):
        detail = f"spec.persistentvolumesource is immutable after creation\n{differences(theirs, mine)}"
        found.append(forbidden(SPEC.child("persistentvolumesource"), detail))
    found += immutable(spec.get("volumeMode"), before.get("volumeMode"), Path("volumeMode"))
    if before.get("nodeAffinity") is not None:
        found += immutable(spec.get("nodeAffinity"), before["nodeAffinity"], Path("nodeAffinity"))
    if before.get("volumeAttributesClassName") is not None and spec.get("volumeAttributesClassName") is None:
        place = SPEC.child("volumeAttributesClassName")
        found.append(forbidden(place, "update from non-nil value to nil is forbidden"))
    return found


def storage_class(obj: Obj) -> Errors:
    provisioner = obj.get("provisioner") or ""
    found = label_key(provisioner.lower(), Path("provisioner")) if provisioner else [required(Path("provisioner"))]
    parameters, place = obj.get("parameters") or {}, Path("parameters")
    if len(parameters) > 512:
        found.append(too_long(place, "", 512))
    else:
        found += [invalid(place, key, "field can not be empty.") for key in parameters if not key]
        if sum(len(k.encode()) + len(v.encode()) for k, v in parameters.items()) > 256 * 1024:
            found.append(too_long(place, "", 256 * 1024))
    policy, mode = obj.get("reclaimPolicy"), obj.get("volumeBindingMode")
    if policy and policy not in {"Delete", "Retain"}:
        found.append(not_supported(Path("reclaimPolicy"), policy, ("Delete", "Retain")))
    if mode is None:
        found.append(required(Path("volumeBindingMode")))
    elif mode not in BINDING_MODES:
        found.append(not_supported(Path("volumeBindingMode"), mode, BINDING_MODES))
    return found + _topologies(obj.get("allowedTopologies") or ())


def _topologies(listed: Any) -> Errors:
    found: Errors = []
    seen_terms: list[dict[str, set[str]]] = []
    for index, term in enumerate(listed):
        place = Path("allowedTopologies").index(index).child("matchLabelExpressions")
        keys: dict[str, set[str]] = {}
        for number, one in enumerate(term.get("matchLabelExpressions") or ()):
            where, key, values = place.index(number), one.get("key") or "", one.get("values") or []
            if not values:
                found.append(required(where.child("values")))
            for spot, value in enumerate(values):
                if value in values[:spot]:
                    found.append(duplicate(where.child("values").index(spot), value))
            found += label_key(key, where.child("key"))
            if key in keys:
                found.append(duplicate(where.child("key"), key))
            keys[key] = set(values)
        if keys in seen_terms:
            found.append(duplicate(place, ""))
        seen_terms.append(keys)
    return found


def storage_class_update(new: Obj, old: Obj) -> Errors:
    fields = ("parameters", "provisioner", "reclaimPolicy", "volumeBindingMode")
    return [error for field in fields for error in immutable(new.get(field), old.get(field), Path(field))]


def attributes_class(obj: Obj) -> Errors:
    found = csi_driver_name(obj.get("driverName") or "", Path("driverName"))
    if not obj.get("parameters"):
        found.append(required(Path("parameters"), "must contain at least one key/value pair"))
    return found


def attributes_class_update(new: Obj, old: Obj) -> Errors:
    return [e for f in ("driverName", "parameters") for e in immutable(new.get(f), old.get(f), Path(f))]


def volume_attachment(obj: Obj) -> Errors:
    spec = obj.get("spec") or {}
    source, place, node = spec.get("source") or {}, SPEC.child("source"), spec.get("nodeName") or ""
    found = csi_driver_name(spec.get("attacher") or "", SPEC.child("attacher"))
    name, inline = source.get("persistentVolumeName"), source.get("inlineVolumeSpec")
    detail = "must specify exactly one of inlineVolumeSpec and persistentVolumeName"
    if name is None and inline is None:
        found.append(required(place, detail))
    elif name is not None and inline is not None:
        found.append(forbidden(place, detail))
    elif name == "":
        found.append(required(place.child("persistentVolumeName"), "must specify non empty persistentVolumeName"))
    found += [invalid(SPEC.child("nodeName"), node, text) for text in names.dns1123_subdomain(node)]
    if name:
        where = Path("spec.source.persistentVolumeName")
        found += [invalid(where, name, text) for text in names.dns1123_subdomain(name)]
    return found


def volume_attachment_update(new: Obj, old: Obj) -> Errors:
    return immutable(new.get("spec"), old.get("spec"), SPEC)


def csi_node(obj: Obj) -> Errors:
    found: Errors = []
    seen: set[str] = set()
    for index, driver in enumerate((obj.get("spec") or {}).get("drivers") or ()):
        place, name, node = SPEC.child("drivers").index(index), driver.get("name") or "", driver.get("nodeID") or ""
        found += csi_driver_name(name, place.child("name"))
        if not node:
            found.append(required(place.child("nodeID")))
        if len(node) > 256:
            found.append(invalid(place.child("nodeID"), node, "must be 256 characters or less"))
        count = (driver.get("allocatable") or {}).get("count")
        found += non_negative(count, place.child("allocatable", "count"))
        if name in seen:
            found.append(duplicate(place.child("name"), name))
        seen.add(name)
        keys = driver.get("topologyKeys") or []
        for number, key in enumerate(keys):
            if not key:
                found.append(required(place))
            if key in keys[:number]:
                found.append(duplicate(place, key))
            found += label_key(key, place)
    return found


def csi_node_update(new: Obj, old: Obj) -> Errors:
    def drivers(obj: Obj) -> dict[Any, Obj]:
        listed = (obj.get("spec") or {}).get("drivers") or ()
        return {one.get("name"): {k: v for k, v in one.items() if k != "allocatable"} for one in listed}

    mine, theirs = drivers(new), drivers(old)
    shared = [name for name in theirs if name in mine]
    return [e for name in shared for e in immutable(mine[name], theirs[name], SPEC.child("drivers"))]


def csi_driver(obj: Obj) -> Errors:
    spec = obj.get("spec") or {}
    found: Errors = []
    if spec.get("attachRequired") is None:
        found.append(required(SPEC.child("attachedRequired")))
    for field in ("podInfoOnMount", "storageCapacity"):
        if spec.get(field) is None:
            found.append(required(SPEC.child(field)))
    policy, known = spec.get("fsGroupPolicy"), ("File", "None", "ReadWriteOnceWithFSType")
    if policy is not None and policy not in known:
        found.append(not_supported(SPEC.child("fsGroupPolicy"), policy, known))
    for mode in spec.get("volumeLifecycleModes") or ():
        if mode not in {"Persistent", "Ephemeral"}:
            where = SPEC.child("volumeLifecycleModes")
            found.append(not_supported(where, mode, ("Ephemeral", "Persistent")))
    seen: set[str] = set()
    for index, token in enumerate(spec.get("tokenRequests") or ()):
        place, audience = SPEC.child("tokenRequests").index(index), token.get("audience") or ""
        if audience in seen:
            found.append(duplicate(place.child("audience"), audience))
        seen.add(audience)
        seconds = token.get("expirationSeconds")
        if seconds is not None and seconds < 600:
            where = place.child("expirationSeconds")
            found.append(invalid(where, seconds, "may not specify a duration less than 10 minutes"))
        if seconds is not None and seconds > 1 << 32:
            where = place.child("expirationSeconds")
            found.append(invalid(where, seconds, "may not specify a duration larger than 2^32 seconds"))
    return found


def csi_driver_update(new: Obj, old: Obj) -> Errors:
    spec, before = new.get("spec") or {}, old.get("spec") or {}
    found = immutable(spec.get("attachRequired"), before.get("attachRequired"), SPEC.child("attachedRequired"))
    field = "volumeLifecycleModes"
    return found + immutable(spec.get(field), before.get(field), SPEC.child(field))
