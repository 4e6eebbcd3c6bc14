"""Rules of a pod's volumes and of the paths inside them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from apimachinery import names
from apimachinery.fields import FieldError, Path, duplicate, forbidden, invalid, not_supported, required, too_long
from apimachinery.quantity import Quantity
from apimachinery.validation.claims import claim_spec
from apimachinery.validation.downward import container_resource, object_field
from apimachinery.validation.metadata import label_selector, labels, valid_annotations
from apimachinery.validation.signers import is_kubernetes_signer, signer_name, user_annotations

Obj = dict[str, Any]
Errors = list[FieldError]

FILE_MODE = "must be a number between 0 and 0777 (octal), both inclusive"
DUPLICATE_PATH = "conflicting duplicate paths"
HOST_PATH_TYPES = ("", "BlockDevice", "CharDevice", "Directory", "DirectoryOrCreate", "File", "FileOrCreate", "Socket")
DOWNWARD_FIELDS = frozenset(
    {"metadata.name", "metadata.namespace", "metadata.labels", "metadata.annotations", "metadata.uid"}
)
KEY_TYPES = ("RSA3072", "RSA4096", "ECDSAP256", "ECDSAP384", "ECDSAP521", "ED25519")


def relative_path(value: str, path: Path) -> Errors:
    found = [invalid(path, value, "must be a relative path")] if value.startswith("/") else []
    return found + no_backsteps(value, path)


def no_backsteps(value: str, path: Path) -> Errors:
    return [invalid(path, value, "must not contain '..'")] if ".." in value.split("/") else []


def unreserved_path(value: str, path: Path) -> Errors:
    """A relative path whose first part does not begin with `..`, which the kubelet keeps for itself."""
    found = relative_path(value, path)
    if value.startswith("..") and not value.startswith("../"):
        found.append(invalid(path, value, "must not start with '..'"))
    return found


def file_mode(holder: Obj, field: str, path: Path) -> Errors:
    mode = holder.get(field)
    return [invalid(path.child(field), mode, FILE_MODE)] if mode is not None and not 0 <= mode <= 0o777 else []


def _needs(holder: Obj, path: Path, *fields: str) -> Errors:
    return [required(path.child(field)) for field in fields if not holder.get(field)]


def volumes(listed: Sequence[Obj], pod_name: str, path: Path) -> tuple[dict[str, Obj], Errors]:
    """The volumes that may be mounted, by name, and what is wrong with the others."""
    found: Errors = []
    valid: dict[str, Obj] = {}
    created = {f"{pod_name}-{one.get('name', '')}" for one in listed if one.get("ephemeral") and pod_name}
    for index, one in enumerate(listed):
        place, name = path.index(index), one.get("name") or ""
        wrong = volume_source(one, place, pod_name)
        if not name:
            wrong.append(required(place.child("name")))
        else:
            wrong += [invalid(place.child("name"), name, text) for text in names.dns1123_label(name)]
        if name in valid:
            wrong.append(duplicate(place.child("name"), name))
        if wrong:
            found += wrong
        else:
            valid[name] = one
        claim = (one.get("persistentVolumeClaim") or {}).get("claimName")
        if claim and claim in created:
            detail = "must not reference a PVC that gets created for an ephemeral volume"
            found.append(invalid(place.child("persistentVolumeClaim").child("claimName"), claim, detail))
    return valid, found


def volume_source(volume: Obj, path: Path, pod_name: str) -> Errors:
    """Exactly one source, and a sound one; sources are judged in upstream's order, the first is taken as meant."""
    found: Errors = []
    first = True
    for kind, rule in _SOURCES.items():
        source = volume.get(kind)
        if source is None:
            continue
        if not first:
            found.append(forbidden(path.child(_MISSPELT.get(kind, kind)), "may not specify more than 1 volume type"))
            continue
        first = False
        found += rule(source, path.child(_PLACE.get(kind, kind)))
        if kind == "ephemeral" and pod_name and volume.get("name"):
            claim = f"{pod_name}-{volume['name']}"
            found += [
                invalid(path.child("name"), volume["name"], f'PVC name "{claim}": {text}')
                for text in names.dns1123_subdomain(claim)
            ]
    iscsi = volume.get("iscsi")
    if iscsi and iscsi.get("initiatorName") and len(f"{volume.get('name')}:{iscsi.get('targetPortal')}") > 64:
        detail = (
            "Total length of <volume name>:<iscsi.targetPortal> must be under 64 characters "
            "if iscsi.initiatorName is specified."
        )
        found.append(invalid(path.child("name"), volume.get("name"), detail))
    if first:
        found.append(required(path, "must specify a volume type"))
    return found


def _empty_dir(source: Obj, path: Path) -> Errors:
    limit = source.get("sizeLimit")
    if limit is None:
        return []
    try:
        sound = Quantity.parse(limit).value() >= 0
    except ValueError:
        sound = False
    return [] if sound else [forbidden(path.child("sizeLimit"), "SizeLimit field must be a valid resource quantity")]


def host_path(source: Obj, path: Path) -> Errors:
    if not source.get("path"):
        return [required(path.child("path"))]
    found = no_backsteps(source["path"], path.child("path"))
    kind = source.get("type")
    if kind is not None and kind not in HOST_PATH_TYPES:
        found.append(not_supported(path.child("type"), kind, HOST_PATH_TYPES))
    return found


def _git_repo(source: Obj, path: Path) -> Errors:
    return _needs(source, path, "repository") + relative_path(source.get("directory") or "", path.child("directory"))


def key_to_path(item: Obj, path: Path) -> Errors:
    found = _needs(item, path, "key", "path")
    found += unreserved_path(item.get("path") or "", path.child("path"))
    return found + file_mode(item, "mode", path)


def _keyed(name_field: str) -> Callable[[Obj, Path], Errors]:
    def rule(source: Obj, path: Path) -> Errors:
        found = _needs(source, path, name_field) + file_mode(source, "defaultMode", path)
        for index, item in enumerate(source.get("items") or ()):
            found += key_to_path(item, path.child("items").index(index))
        return found

    return rule


def nfs(source: Obj, path: Path) -> Errors:
    found = _needs(source, path, "server", "path")
    if not (source.get("path") or "").startswith("/"):
        found.append(invalid(path.child("path"), source.get("path") or "", "must be an absolute path"))
    return found


def _claim(source: Obj, path: Path) -> Errors:
    return _needs(source, path, "claimName")


def downward_file(item: Obj, path: Path) -> Errors:
    found = _needs(item, path, "path")
    found += unreserved_path(item.get("path") or "", path.child("path"))
    if item.get("fieldRef") is not None:
        found += object_field(item["fieldRef"], DOWNWARD_FIELDS, path.child("fieldRef"))
        if item.get("resourceFieldRef") is not None:
            detail = "fieldRef and resourceFieldRef can not be specified simultaneously"
            found.append(invalid(path, "resource", detail))
    elif item.get("resourceFieldRef") is not None:
        found += container_resource(item["resourceFieldRef"], path.child("resourceFieldRef"), in_volume=True)
    else:
        found.append(required(path, "one of fieldRef and resourceFieldRef is required"))
    return found + file_mode(item, "mode", path)


def _downward_api(source: Obj, path: Path) -> Errors:
    found = file_mode(source, "defaultMode", path)
    for item in source.get("items") or ():
        found += downward_file(item, path)
    return found


def _csi(source: Obj, path: Path) -> Errors:
    found = csi_driver_name(source.get("driver") or "", path.child("driver"))
    secret = source.get("nodePublishSecretRef")
    if secret is not None:
        if not secret.get("name"):
            found.append(required(path.child("nodePublishSecretRef", "name")))
        else:
            found += [
                invalid(path.child("name"), secret["name"], text) for text in names.dns1123_subdomain(secret["name"])
            ]
    return found


def csi_driver_name(name: str, path: Path) -> Errors:
    if not name:
        return [required(path)]
    found = [too_long(path, "", 63)] if len(name) > 63 else []
    return found + [invalid(path, name, text) for text in names.dns1123_subdomain(name.lower())]


def _ephemeral(source: Obj, path: Path) -> Errors:
    template = source.get("volumeClaimTemplate")
    if template is None:
        return [required(path.child("volumeClaimTemplate"))]
    place = path.child("volumeClaimTemplate")
    meta = template.get("metadata") or {}
    found = valid_annotations(meta.get("annotations"), place.child("metadata", "annotations"))
    found += labels(meta.get("labels"), place.child("metadata", "labels"))
    for field, value in meta.items():
        if value and field not in {"annotations", "labels"}:
            found.append(forbidden(place.child("metadata", field), "cannot be set"))
    return found + claim_spec(template.get("spec") or {}, place.child("spec"))


def _image(source: Obj, path: Path) -> Errors:
    found = _needs(source, path, "reference")
    return found + pull_policy(source.get("pullPolicy") or "", path.child("pullPolicy"))


def pull_policy(policy: str, path: Path) -> Errors:
    if not policy:
        return [required(path)]
    known = ("Always", "IfNotPresent", "Never")
    return [] if policy in known else [not_supported(path, policy, known)]


class _Projection:
    """Judges the sources of one projected volume, which share one folder and so may not write a path twice."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.taken: set[str] = set()
        self.found: Errors = []

    def take(self, target: str, shown: str) -> None:
        if target in self.taken:
            self.found.append(invalid(self.path, shown, DUPLICATE_PATH))
        self.taken.add(target)

    def keyed(self, source: Obj, place: Path) -> None:
        self.found += _needs(source, place, "name")
        for index, item in enumerate(source.get("items") or ()):
            self.found += key_to_path(item, place.child("items").index(index))
            if item.get("path"):
                self.take(item["path"], source.get("name") or "")

    def downward(self, source: Obj, place: Path) -> None:
        for item in source.get("items") or ():
            self.found += downward_file(item, place)
            if item.get("path"):
                self.take(item["path"], item["path"])

    def token(self, source: Obj, place: Path) -> None:
        seconds = source.get("expirationSeconds") or 0
        if seconds < 600:
            detail = "may not specify a duration less than 10 minutes"
            self.found.append(invalid(place.child("expirationSeconds"), seconds, detail))
        if seconds > 1 << 32:
            detail = "may not specify a duration larger than 2^32 seconds"
            self.found.append(invalid(place.child("expirationSeconds"), seconds, detail))
        if not source.get("path"):
            self.found.append(required(self.path.child("path")))
        else:
            self.found += unreserved_path(source["path"], self.path.child("path"))

    def trust_bundle(self, source: Obj, place: Path) -> None:
        name, signer = source.get("name"), source.get("signerName")
        if name is not None and signer is not None:
            self.found.append(invalid(place, source, "only one of name and signerName may be used"))
        elif name is not None:
            if not name:
                self.found.append(required(place.child("name"), "must be a valid object name"))
            short = name.rpartition(":")[2]
            for text in names.dns1123_subdomain(short):
                detail = f"not a valid clustertrustbundlename: {text}"
                self.found.append(invalid(place.child("name"), name, detail))
            if source.get("labelSelector") is not None:
                detail = "labelSelector must be unset if name is specified"
                self.found.append(invalid(place.child("labelSelector"), source["labelSelector"], detail))
        elif signer is not None:
            if not signer:
                self.found.append(required(place.child("signerName"), "must be a valid signer name"))
            self.found += signer_name(signer, place.child("signerName"))
            self.found += label_selector(source.get("labelSelector"), place.child("labelSelector"))
        else:
            self.found.append(required(place, "either name or signerName must be specified"))
        self.found += _needs(source, place, "path")
        target = source.get("path") or ""
        self.found += unreserved_path(target, place.child("path"))
        self.take(target, target)

    def certificate(self, source: Obj, place: Path) -> None:
        signer = source.get("signerName") or ""
        self.found += signer_name(signer, place.child("signerName"))
        self.found += user_annotations(source.get("userAnnotations") or {}, place.child("userAnnotations"))
        if source.get("keyType") not in KEY_TYPES:
            self.found.append(not_supported(place.child("keyType"), source.get("keyType") or "", KEY_TYPES))
        seconds = source.get("maxExpirationSeconds")
        if seconds is not None:
            limit = 24 * 3600 if is_kubernetes_signer(signer) else 91 * 24 * 3600
            if seconds < 3600:
                detail = "if provided, maxExpirationSeconds must be >= 3600"
                self.found.append(invalid(place.child("maxExpirationSeconds"), seconds, detail))
            if seconds > limit:
                detail = f"if provided, maxExpirationSeconds must be <= {limit}"
                self.found.append(invalid(place.child("maxExpirationSeconds"), seconds, detail))
        targets = [f for f in ("credentialBundlePath", "keyPath", "certificateChainPath") if source.get(f)]
        for field in targets:
            self.found += unreserved_path(source[field], place.child(field))
            self.take(source[field], source[field])
        if not targets:
            detail = "specify at least one of credentialBundlePath, keyPath, and certificateChainPath"
            self.found.append(required(place, detail))


def _projected(source: Obj, path: Path) -> Errors:
    projection = _Projection(path)
    projection.found = file_mode(source, "defaultMode", path)
    rules = {
        "secret": projection.keyed,
        "configMap": projection.keyed,
        "downwardAPI": projection.downward,
        "serviceAccountToken": projection.token,
        "clusterTrustBundle": projection.trust_bundle,
        "podCertificate": projection.certificate,
    }
    for index, part in enumerate(source.get("sources") or ()):
        place = path.child("sources").index(index)
        kinds = [kind for kind in rules if part.get(kind) is not None]
        for kind in kinds:
            rules[kind](part[kind], place.child(kind))
        if len(kinds) > 1:
            projection.found.append(forbidden(place, "may not specify more than 1 volume type per source"))
    return projection.found


def _with(*fields: str) -> Callable[[Obj, Path], Errors]:
    """The rule of a source that only must have some fields: those of storage systems in-tree code once served."""

    def rule(source: Obj, path: Path) -> Errors:
        return _needs(source, path, *fields)

    return rule


_SOURCES: dict[str, Callable[[Obj, Path], Errors]] = {
    "emptyDir": _empty_dir,
    "hostPath": host_path,
    "gitRepo": _git_repo,
    "gcePersistentDisk": _with("pdName"),
    "awsElasticBlockStore": _with("volumeID"),
    "secret": _keyed("secretName"),
    "nfs": nfs,
    "iscsi": _with("targetPortal", "iqn"),
    "glusterfs": _with("endpoints", "path"),
    "flocker": _with(),
    "persistentVolumeClaim": _claim,
    "rbd": _with("monitors", "image"),
    "cinder": _with("volumeID"),
    "cephfs": _with("monitors"),
    "quobyte": _with("registry", "volume"),
    "downwardAPI": _downward_api,
    "fc": _with(),
    "flexVolume": _with("driver"),
    "configMap": _keyed("name"),
    "azureFile": _with("secretName", "shareName"),
    "vsphereVolume": _with("volumePath"),
    "photonPersistentDisk": _with("pdID"),
    "portworxVolume": _with("volumeID"),
    "azureDisk": _with("diskName", "diskURI"),
    "storageos": _with("volumeName"),
    "projected": _projected,
    "scaleIO": _with("gateway", "system", "volumeName"),
    "csi": _csi,
    "ephemeral": _ephemeral,
    "image": _image,
}
#: Upstream reports a few sources under names of their own.
_MISSPELT = {"cephfs": "cephFS", "downwardAPI": "downwarAPI"}
_PLACE = {"gcePersistentDisk": "persistentDisk"}
