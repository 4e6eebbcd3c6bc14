"""Services, namespaces, secrets, config maps, and whatever has no description of its own."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

from skiff.ctl.describe.around import JSON, Around
from skiff.ctl.describe.pieces import NONE, events, head, pairs, words

_TOKEN = "kubernetes.io/service-account-token"


def service(obj: JSON, around: Around) -> list[str]:
    spec = obj["spec"]
    lines = head(obj) + pairs("Selector:", spec.get("selector"))
    lines.append(f"Type:\t{spec.get('type', 'ClusterIP')}")
    if spec.get("ipFamilyPolicy"):
        lines.append(f"IP Family Policy:\t{spec['ipFamilyPolicy']}")
    if spec.get("ipFamilies"):
        lines.append(f"IP Families:\t{','.join(spec['ipFamilies'])}")
    lines.append(f"IP:\t{spec.get('clusterIP', '')}")
    lines.append(f"IPs:\t{','.join(spec.get('clusterIPs') or ()) or NONE}")
    for key, title in (
        ("externalIPs", "External IPs"),
        ("loadBalancerIP", "Desired LoadBalancer IP"),
        ("externalName", "External Name"),
    ):
        if value := spec.get(key):
            lines.append(f"{title}:\t{','.join(value) if isinstance(value, list) else value}")
    ingress = ((obj.get("status") or {}).get("loadBalancer") or {}).get("ingress")
    if ingress:
        lines.append(f"LoadBalancer Ingress:\t{words(one.get('ip') or one.get('hostname') for one in ingress)}")
    for port in spec.get("ports") or ():
        name, protocol = port.get("name") or "<unset>", port.get("protocol", "TCP")
        lines.append(f"Port:\t{name}\t{port['port']}/{protocol}")
        lines.append(f"TargetPort:\t{port.get('targetPort', port['port'])}/{protocol}")
        if port.get("nodePort"):
            lines.append(f"NodePort:\t{name}\t{port['nodePort']}/{protocol}")
        lines.append(f"Endpoints:\t{_endpoints(port, around.endpoint_slices or [])}")
    lines.append(f"Session Affinity:\t{spec.get('sessionAffinity', 'None')}")
    for key, title in (
        ("externalTrafficPolicy", "External Traffic Policy"),
        ("internalTrafficPolicy", "Internal Traffic Policy"),
    ):
        if spec.get(key):
            lines.append(f"{title}:\t{spec[key]}")
    return lines + events(around.events, around.now)


def _endpoints(port: Mapping[str, Any], slices: list[JSON]) -> str:
    """The first three, and how many more there are."""
    found = []
    for one in slices:
        numbers = [p["port"] for p in one.get("ports") or () if (p.get("name") or "") == (port.get("name") or "")]
        for endpoint in one.get("endpoints") or ():
            if (endpoint.get("conditions") or {}).get("ready", True):
                found += [f"{address}:{number}" for number in numbers for address in endpoint["addresses"]]
    shown = ",".join(found[:3])
    return f"{shown} + {len(found) - 3} more..." if len(found) > 3 else shown


def namespace(obj: JSON, around: Around) -> list[str]:
    lines = head(obj, namespaced=False)
    lines.append(f"Status:\t{(obj.get('status') or {}).get('phase', '')}")
    lines.append("")
    if not around.quotas:
        lines.append("No resource quota.")
    else:
        lines.append("Resource Quotas")
    for quota in around.quotas:
        status = quota.get("status") or {}
        lines += [f"  Name:\t{quota['metadata']['name']}", "  Resource\tUsed\tHard", "  --------\t---\t---"]
        hard, used = status.get("hard") or {}, status.get("used") or {}
        lines += [f"  {name}\t{used.get(name, 0)}\t{hard[name]}" for name in sorted(hard)]
    lines.append("")
    if not around.limit_ranges:
        return [*lines, "No LimitRange resource."]
    lines.append("Resource Limits")
    lines.append(" Type\tResource\tMin\tMax\tDefault Request\tDefault Limit\tMax Limit/Request Ratio")
    lines.append(" ----\t--------\t---\t---\t---------------\t-------------\t-----------------------")
    for limits in around.limit_ranges:
        for item in limits["spec"].get("limits") or ():
            kinds = [item.get(key) or {} for key in ("min", "max", "defaultRequest", "default", "maxLimitRequestRatio")]
            for name in sorted({name for kind in kinds for name in kind}):
                cells = "\t".join(str(kind.get(name, "-")) for kind in kinds)
                lines.append(f" {item.get('type')}\t{name}\t{cells}")
    return lines


def secret(obj: JSON, around: Around) -> list[str]:
    """Sizes only; tokens of service accounts are shown, as kubectl shows them."""
    lines = [*head(obj), "", f"Type:\t{obj.get('type', 'Opaque')}", "", "Data", "===="]
    data = obj.get("data") or {}
    for key in sorted(data):
        content = base64.b64decode(data[key])
        shown = content.decode() if key == "token" and obj.get("type") == _TOKEN else f"{len(content)} bytes"
        lines.append(f"{key}:\t{shown}")
    return lines


def config_map(obj: JSON, around: Around) -> list[str]:
    lines = [*head(obj), "", "Data", "===="]
    data = obj.get("data") or {}
    for key in sorted(data):
        lines += [f"{key}:", "----", data[key].replace("\t", "        "), ""]
    lines += ["", "BinaryData", "===="]
    binary = obj.get("binaryData") or {}
    lines += [f"{key}: {len(base64.b64decode(binary[key]))} bytes" for key in sorted(binary)]
    return [*lines, "", *events(around.events, around.now)]


def service_account(obj: JSON, around: Around) -> list[str]:
    lines = head(obj)
    lines.append(f"Image pull secrets:\t{words(one.get('name') for one in obj.get('imagePullSecrets') or ())}")
    lines.append(f"Mountable secrets:\t{words(one.get('name') for one in obj.get('secrets') or ())}")
    lines.append(f"Tokens:\t{words(around.tokens)}")
    return lines + events(around.events, around.now)


_HIDDEN = frozenset({"managedFields", "name", "namespace", "labels", "annotations"})


def generic(obj: JSON, around: Around) -> list[str]:
    """All fields as an outline; what kubectl does for types it does not know."""
    shown = {**obj, "metadata": {key: value for key, value in obj["metadata"].items() if key not in _HIDDEN}}
    return head(obj) + _outline(shown, "") + events(around.events, around.now)


def _outline(value: dict[str, Any], indent: str) -> list[str]:
    lines: list[str] = []
    for key in sorted(value):
        one = value[key]
        title = _title(key)
        if isinstance(one, dict):
            lines += [f"{indent}{title}:", *_outline(one, indent + "  ")]
        elif isinstance(one, list):
            lines.append(f"{indent}{title}:")
            for item in one:
                lines += _outline(item, indent + "  ") if isinstance(item, dict) else [f"{indent}  {_scalar(item)}"]
        else:
            lines.append(f"{indent}{title}:\t{_scalar(one)}")
    return lines


def _title(key: str) -> str:
    """`storageClassName` -> `Storage Class Name`; names with dots and dashes stay."""
    if not key.isalnum():
        return key
    spaced = "".join(f" {c}" if c.isupper() and i and not key[i - 1].isupper() else c for i, c in enumerate(key))
    title = spaced[:1].upper() + spaced[1:]
    return {"Uid": "UID", "Api Version": "API Version"}.get(title, title)


def _scalar(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else "<nil>" if value is None else str(value)
