"""Containers, volumes and what else a pod template and a pod have alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from skiff.ctl.describe.pieces import NONE, amounts, pairs, time, words

JSON = Mapping[str, Any]


def template_lines(template: JSON) -> list[str]:
    """A pod template within a workload's description."""
    metadata, spec = template.get("metadata") or {}, template.get("spec") or {}
    lines = ["Pod Template:", *pairs("Labels:", metadata.get("labels"), indent="  ")]
    if metadata.get("annotations"):
        lines += pairs("Annotations:", metadata["annotations"], ": ", indent="  ")
    if spec.get("serviceAccountName"):
        lines.append(f"  Service Account:\t{spec['serviceAccountName']}")
    if spec.get("initContainers"):
        lines += containers("Init Containers", spec["initContainers"], (), "  ")
    lines += containers("Containers", spec.get("containers") or (), (), "  ")
    lines += volumes(spec.get("volumes") or (), "  ")
    lines += pairs("Node-Selectors:", spec.get("nodeSelector"), indent="  ")
    return lines + tolerations(spec.get("tolerations") or (), "  ")


def containers(title: str, found: Sequence[JSON], statuses: Sequence[JSON], indent: str = "") -> list[str]:
    by_name = {one["name"]: one for one in statuses}
    lines = [f"{indent}{title}:"]
    for one in found:
        lines.append(f"{_deeper(indent)}{one['name']}:")
        lines += _container(one, by_name.get(one["name"]), "    ")
    return lines


def _deeper(indent: str) -> str:
    """Names stand two places in; within a template, which is two places in itself, they stand three."""
    return indent + " " if indent else "  "


def _container(one: JSON, status: JSON | None, indent: str) -> list[str]:
    lines = []
    if status is not None:
        lines += [f"{indent}Container ID:\t{status.get('containerID', '')}", f"{indent}Image:\t{one.get('image', '')}"]
        lines.append(f"{indent}Image ID:\t{status.get('imageID', '')}")
    else:
        lines.append(f"{indent}Image:\t{one.get('image', '')}")
    ports = one.get("ports") or ()
    label = "Ports" if len(ports) > 1 else "Port"
    lines.append(f"{indent}{label}:\t{words(_port(port, 'containerPort') for port in ports)}")
    lines.append(f"{indent}Host {label}:\t{words(_port(port, 'hostPort') for port in ports)}")
    for name in ("command", "args"):
        if one.get(name):
            lines.append(f"{indent}{name.capitalize()}:")
            lines += [f"{indent}  {line}" for word in one[name] for line in word.split("\n")]
    if status is not None:
        lines += _status(status, indent)
    resources = one.get("resources") or {}
    lines += amounts("Limits", resources.get("limits"), indent)
    lines += amounts("Requests", resources.get("requests"), indent)
    for name in ("liveness", "readiness", "startup"):
        if probe := one.get(f"{name}Probe"):
            lines.append(f"{indent}{name.capitalize()}:\t{probe_text(probe)}")
    lines += _environment(one, indent)
    mounts = one.get("volumeMounts") or ()
    lines.append(f"{indent}Mounts:{'' if mounts else chr(9) + NONE}")
    for mount in sorted(mounts, key=lambda mount: str(mount["mountPath"])):
        path = f",path={mount['subPath']!r}".replace("'", '"') if mount.get("subPath") else ""
        lines.append(
            f"{indent}  {mount['mountPath']} from {mount['name']} ({'ro' if mount.get('readOnly') else 'rw'}{path})"
        )
    return lines


def _port(port: JSON, key: str) -> str:
    name = f" ({port['name']})" if port.get("name") else ""
    return f"{port.get(key, 0)}/{port.get('protocol', 'TCP')}{name}"


def _status(status: JSON, indent: str) -> list[str]:
    lines = _state("State", status.get("state") or {}, indent)
    if (status.get("lastState") or {}).get("terminated"):
        lines += _state("Last State", status["lastState"], indent)
    lines.append(f"{indent}Ready:\t{status.get('ready', False)}")
    lines.append(f"{indent}Restart Count:\t{status.get('restartCount', 0)}")
    return lines


def _state(title: str, state: JSON, indent: str) -> list[str]:
    if running := state.get("running"):
        return [f"{indent}{title}:\tRunning", f"{indent}  Started:\t{time(running.get('startedAt'))}"]
    if ended := state.get("terminated"):
        lines = [f"{indent}{title}:\tTerminated"]
        for key in ("Reason", "Message"):
            if ended.get(key.lower()):
                lines.append(f"{indent}  {key}:\t{ended[key.lower()]}")
        lines.append(f"{indent}  Exit Code:\t{ended.get('exitCode', 0)}")
        if ended.get("signal"):
            lines.append(f"{indent}  Signal:\t{ended['signal']}")
        lines.append(f"{indent}  Started:\t{time(ended.get('startedAt'))}")
        return [*lines, f"{indent}  Finished:\t{time(ended.get('finishedAt'))}"]
    lines = [f"{indent}{title}:\tWaiting"]
    if reason := (state.get("waiting") or {}).get("reason"):
        lines.append(f"{indent}  Reason:\t{reason}")
    return lines


def probe_text(probe: JSON) -> str:
    """`http-get http://:8080/healthz delay=0s timeout=1s period=10s #success=1 #failure=3`."""
    timing = (
        f"delay={probe.get('initialDelaySeconds', 0)}s timeout={probe.get('timeoutSeconds', 1)}s "
        f"period={probe.get('periodSeconds', 10)}s #success={probe.get('successThreshold', 1)} "
        f"#failure={probe.get('failureThreshold', 3)}"
    )
    if got := probe.get("httpGet"):
        scheme = str(got.get("scheme") or "HTTP").lower()
        path = str(got.get("path") or "")
        return f"http-get {scheme}://{got.get('host', '')}:{got.get('port')}/{path.lstrip('/')} {timing}"
    if ran := probe.get("exec"):
        return f"exec [{' '.join(ran.get('command') or ())}] {timing}"
    if opened := probe.get("tcpSocket"):
        return f"tcp-socket {opened.get('host', '')}:{opened.get('port')} {timing}"
    if called := probe.get("grpc"):
        return f"grpc <pod>:{called.get('port')} {called.get('service', '')} {timing}"
    return f"unknown {timing}"


def _environment(one: JSON, indent: str) -> list[str]:
    lines = []
    if one.get("envFrom"):
        lines.append(f"{indent}Environment Variables from:")
        for source in one["envFrom"]:
            kind = "ConfigMap" if source.get("configMapRef") else "Secret"
            ref = source.get("configMapRef") or source.get("secretRef") or {}
            lines.append(f"{indent}  {ref.get('name')}\t{kind}\tOptional: {str(ref.get('optional', False)).lower()}")
    if not one.get("env"):
        return [*lines, f"{indent}Environment:\t{NONE}"]
    lines.append(f"{indent}Environment:")
    return lines + [f"{indent}  {entry['name']}:\t{_value(entry)}" for entry in one["env"]]


def _value(entry: JSON) -> str:
    source = entry.get("valueFrom")
    if not source:
        return str(entry.get("value") or "").replace("\n", f"\n{' ' * 6}")
    if ref := source.get("fieldRef"):
        return f" ({ref.get('apiVersion', 'v1')}:{ref['fieldPath']})"
    if ref := source.get("resourceFieldRef"):
        return f" ({ref['resource']})"
    for key, kind in (("secretKeyRef", "secret"), ("configMapKeyRef", "config map")):
        if ref := source.get(key):
            optional = str(ref.get("optional", False)).lower()
            return f"<set to the key '{ref['key']}' of {kind} '{ref['name']}'>\tOptional: {optional}"
    return ""


_KINDS = {
    "hostPath": ("HostPath (bare host directory volume)", (("path", "Path"), ("type", "HostPathType"))),
    "emptyDir": (
        "EmptyDir (a temporary directory that shares a pod's lifetime)",
        (("medium", "Medium"), ("sizeLimit", "SizeLimit")),
    ),
    "configMap": ("ConfigMap (a volume populated by a ConfigMap)", (("name", "Name"), ("optional", "Optional"))),
    "secret": ("Secret (a volume populated by a Secret)", (("secretName", "SecretName"), ("optional", "Optional"))),
    "persistentVolumeClaim": (
        "PersistentVolumeClaim (a reference to a PersistentVolumeClaim in the same namespace)",
        (("claimName", "ClaimName"), ("readOnly", "ReadOnly")),
    ),
    "nfs": ("NFS (an NFS mount that lasts the lifetime of a pod)", (("server", "Server"), ("path", "Path"))),
    "downwardAPI": ("DownwardAPI (a volume populated by information about the pod)", ()),
}
_FLAGS = frozenset({"optional", "readOnly"})


def volumes(found: Sequence[JSON], indent: str = "") -> list[str]:
    if not found:
        return [f"{indent}Volumes:\t{NONE}"]
    lines = [f"{indent}Volumes:"]
    for volume in found:
        lines.append(f"{_deeper(indent)}{volume['name']}:")
        lines += [f"    {line}" for line in _volume(volume)]
    return lines


def _volume(volume: JSON) -> list[str]:
    if projected := volume.get("projected"):
        lines = ["Type:\tProjected (a volume that contains injected data from multiple sources)"]
        for source in projected.get("sources") or ():
            if token := source.get("serviceAccountToken"):
                lines.append(f"TokenExpirationSeconds:\t{token.get('expirationSeconds', 3600)}")
            for key, title in (("configMap", "ConfigMapName"), ("secret", "SecretName")):
                if ref := source.get(key):
                    lines += [f"{title}:\t{ref['name']}", f"Optional:\t{str(ref.get('optional', False)).lower()}"]
            if "downwardAPI" in source:
                lines.append("DownwardAPI:\ttrue")
        return lines
    for key, (title, fields) in _KINDS.items():
        if key in volume:
            values = volume[key] or {}
            lines = [f"Type:\t{title}"]
            for field, name in fields:
                default = "<unset>" if field == "sizeLimit" else ""
                shown = str(values.get(field, False)).lower() if field in _FLAGS else values.get(field) or default
                lines.append(f"{name}:\t{shown}")
            return lines
    return [f"Type:\t{next((key for key in volume if key != 'name'), '<unknown>')}"]


def tolerations(found: Sequence[JSON], indent: str = "") -> list[str]:
    texts = []
    for one in found:
        text = str(one.get("key") or "")
        if one.get("value"):
            text += f"={one['value']}"
        if one.get("effect"):
            text += f":{one['effect']}"
        if one.get("operator") == "Exists":
            text += " op=Exists" if text else "op=Exists"
        if one.get("tolerationSeconds") is not None:
            text += f" for {one['tolerationSeconds']}s"
        texts.append(text)
    texts.sort()
    if not texts:
        return [f"{indent}Tolerations:\t{NONE}"]
    return [f"{indent}Tolerations:\t{texts[0]}", *(f"{indent}\t{text}" for text in texts[1:])]
