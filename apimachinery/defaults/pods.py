"""Defaults of a pod spec, shared by Pod and by everything that carries a pod template."""

from __future__ import annotations

import re
from typing import Any

from apimachinery.defaults.quantities import canonical, round_list
from apimachinery.podspec import resources as pod_resources

Obj = dict[str, Any]

DEFAULT_FILE_MODE = 0o644
_NAME = re.compile(r"(?:[A-Za-z0-9.-]+(?::\d+)?/)?[a-z0-9._-]+(?:/[a-z0-9._-]+)*", re.ASCII)

#: volume kind -> the fields which it gets where they are absent
_VOLUME_FIELDS: dict[str, dict[str, Any]] = {
    "hostPath": {"type": ""},
    "secret": {"defaultMode": DEFAULT_FILE_MODE},
    "configMap": {"defaultMode": DEFAULT_FILE_MODE},
    "downwardAPI": {"defaultMode": DEFAULT_FILE_MODE},
    "projected": {"defaultMode": DEFAULT_FILE_MODE},
    "iscsi": {"iscsiInterface": "default"},
    "rbd": {"pool": "rbd", "user": "admin", "keyring": "/etc/ceph/keyring"},
    "azureDisk": {"cachingMode": "ReadWrite", "fsType": "ext4", "readOnly": False, "kind": "Shared"},
    "scaleIO": {"storageMode": "ThinProvisioned", "fsType": "xfs"},
}
#: the fields above which are plain strings: there the empty text counts as absent
_PLAIN_STRINGS = frozenset({"iscsiInterface", "pool", "user", "keyring", "storageMode"})


def template(holder: Obj) -> None:
    """Defaults of the pod template in `holder`, which is a workload's spec."""
    pod = holder.setdefault("template", {})
    pod.setdefault("metadata", {})
    spec(pod.setdefault("spec", {}))


def pod(obj: Obj) -> None:
    """Defaults of a Pod; those which templates do not receive come first, for their inputs are the raw fields."""
    wanted = obj.setdefault("spec", {})
    containers = [*wanted.get("containers", ()), *wanted.get("initContainers", ())]
    for container in containers:
        _requests_from_limits(container)
    if wanted.get("resources"):
        pod_resources.default_pod_level(wanted)
    if wanted.get("enableServiceLinks") is None:
        wanted["enableServiceLinks"] = True
    if wanted.get("hostNetwork"):
        for container in containers:
            for port in container.get("ports", ()):
                if not port.get("hostPort") and port.get("containerPort"):
                    port["hostPort"] = port["containerPort"]
    spec(wanted)
    obj.setdefault("status", {})


def _requests_from_limits(container: Obj) -> None:
    wanted = container.get("resources")
    limits = wanted.get("limits") if wanted else None
    if wanted is not None and limits:
        requests = wanted.setdefault("requests", {})
        for name, amount in limits.items():
            requests.setdefault(name, amount)


def spec(obj: Obj) -> None:
    """Defaults of a PodSpec wherever it stands."""
    for field, value in (
        ("dnsPolicy", "ClusterFirst"),
        ("restartPolicy", "Always"),
        ("schedulerName", "default-scheduler"),
    ):
        if not obj.get(field):
            obj[field] = value
    if obj.get("securityContext") is None:
        obj["securityContext"] = {}
    if obj.get("terminationGracePeriodSeconds") is None:
        obj["terminationGracePeriodSeconds"] = 30
    mirror_service_account(obj)
    for one in obj.get("volumes", ()):
        volume(one)
    for field in ("initContainers", "containers", "ephemeralContainers"):
        for one in obj.get(field, ()):
            container(one)
    round_list(obj, "overhead")
    wanted = obj.get("resources")
    if wanted:
        round_list(wanted, "limits")
        round_list(wanted, "requests")


def mirror_service_account(obj: Obj) -> None:
    """Keep the deprecated `serviceAccount` equal to `serviceAccountName`; old clients read the former."""
    name = obj.get("serviceAccountName") or obj.get("serviceAccount")
    if name:
        obj["serviceAccountName"] = name
        obj["serviceAccount"] = name


def pull_policy(image: str) -> str:
    """`Always` for the tag `latest`, written or implied; else `IfNotPresent`."""
    name, _, digest = image.partition("@")
    head, colon, tag = name.rpartition(":")
    if not colon or "/" in tag:
        head, tag = name, "" if digest else "latest"
    return "Always" if tag == "latest" and _NAME.fullmatch(head) else "IfNotPresent"


def volume(obj: Obj) -> None:
    """Defaults of one volume; without any source it is an emptyDir."""
    if not any(key != "name" and value is not None for key, value in obj.items()):
        obj["emptyDir"] = {}
        return
    for kind, source in obj.items():
        if not isinstance(source, dict):
            continue
        for field, value in _VOLUME_FIELDS.get(kind, {}).items():
            if source.get(field) is None or (source[field] == "" and field in _PLAIN_STRINGS):
                source[field] = value
        if kind == "downwardAPI":
            _field_references(source)
        elif kind == "projected":
            for part in source.get("sources", ()):
                if part.get("downwardAPI"):
                    _field_references(part["downwardAPI"])
                token = part.get("serviceAccountToken")
                if token is not None and token.get("expirationSeconds") is None:
                    token["expirationSeconds"] = 3600
        elif kind == "ephemeral":
            if source.get("volumeClaimTemplate"):
                claim_spec(source["volumeClaimTemplate"].setdefault("spec", {}))
        elif kind == "image" and not source.get("pullPolicy"):
            source["pullPolicy"] = pull_policy(source.get("reference", ""))
        elif kind == "emptyDir" and source.get("sizeLimit") is not None:
            source["sizeLimit"] = canonical(str(source["sizeLimit"]))


def _field_references(source: Obj) -> None:
    for item in source.get("items", ()):
        _field_reference(item.get("fieldRef"))


def _field_reference(reference: Obj | None) -> None:
    if reference is not None and not reference.get("apiVersion"):
        reference["apiVersion"] = "v1"


def claim_spec(obj: Obj) -> None:
    """Defaults of a PersistentVolumeClaim's spec, also as a template in pods and StatefulSets."""
    if obj.get("volumeMode") is None:
        obj["volumeMode"] = "Filesystem"
    wanted = obj.setdefault("resources", {})
    round_list(wanted, "limits")
    round_list(wanted, "requests")


def container(obj: Obj) -> None:
    """Defaults of one container of any of the three lists."""
    if not obj.get("imagePullPolicy"):
        obj["imagePullPolicy"] = pull_policy(obj.get("image", ""))
    if not obj.get("terminationMessagePath"):
        obj["terminationMessagePath"] = "/dev/termination-log"
    if not obj.get("terminationMessagePolicy"):
        obj["terminationMessagePolicy"] = "File"
    for port in obj.get("ports", ()):
        if not port.get("protocol"):
            port["protocol"] = "TCP"
    for variable in obj.get("env", ()):
        source = variable.get("valueFrom")
        if source:
            _field_reference(source.get("fieldRef"))
            key = source.get("fileKeyRef")
            if key is not None and key.get("optional") is None:
                key["optional"] = False
    wanted = obj.get("resources")
    if wanted is None:
        obj["resources"] = {}
    else:
        round_list(wanted, "limits")
        round_list(wanted, "requests")
    for field in ("livenessProbe", "readinessProbe", "startupProbe"):
        if obj.get(field) is not None:
            probe(obj[field])
    for handler in (obj.get("lifecycle") or {}).values():
        if isinstance(handler, dict) and handler.get("httpGet") is not None:
            _http_get(handler["httpGet"])


def probe(obj: Obj) -> None:
    """Defaults of a probe and its handler."""
    for field, value in (
        ("timeoutSeconds", 1),
        ("periodSeconds", 10),
        ("successThreshold", 1),
        ("failureThreshold", 3),
    ):
        if not obj.get(field):
            obj[field] = value
    if obj.get("httpGet") is not None:
        _http_get(obj["httpGet"])
    if obj.get("grpc") is not None and obj["grpc"].get("service") is None:
        obj["grpc"]["service"] = ""


def _http_get(action: Obj) -> None:
    if not action.get("path"):
        action["path"] = "/"
    if not action.get("scheme"):
        action["scheme"] = "HTTP"
