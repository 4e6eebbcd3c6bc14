"""References of a container or volume to fields of its own pod."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from apimachinery import names
from apimachinery.fields import FieldError, Path, invalid, not_supported, required
from apimachinery.quantity import Quantity

Obj = dict[str, Any]
Errors = list[FieldError]

_KNOWN_FIELDS = frozenset(
    {
        "metadata.annotations",
        "metadata.labels",
        "metadata.name",
        "metadata.namespace",
        "metadata.uid",
        "spec.nodeName",
        "spec.restartPolicy",
        "spec.serviceAccountName",
        "spec.schedulerName",
        "status.phase",
        "status.hostIP",
        "status.hostIPs",
        "status.podIP",
        "status.podIPs",
    }
)
_AMOUNTS = ("cpu", "ephemeral-storage", "memory")
CONTAINER_RESOURCES = tuple(f"{side}.{name}" for side in ("limits", "requests") for name in _AMOUNTS)
_SIZES = ("1", "1k", "1M", "1G", "1T", "1P", "1E", "1Ki", "1Mi", "1Gi", "1Ti", "1Pi", "1Ei")


def object_field(reference: Obj, allowed: Collection[str], path: Path) -> Errors:
    """A `fieldRef`; `allowed` are the whole fields offered at this place, besides single labels and annotations."""
    version, field = reference.get("apiVersion") or "", reference.get("fieldPath") or ""
    if not version:
        return [required(path.child("apiVersion"))]
    if not field:
        return [required(path.child("fieldPath"))]
    whole, subscript = _split(field)
    if version != "v1":
        detail = f"error converting fieldPath: unsupported pod version: {version}"
        return [invalid(path.child("fieldPath"), field, detail)]
    if subscript is not None and whole in {"metadata.annotations", "metadata.labels"}:
        key = subscript.lower() if whole == "metadata.annotations" else subscript
        return [invalid(path, key, text) for text in names.qualified_name(key)]
    if subscript is not None or whole not in _KNOWN_FIELDS:
        if field == "spec.host":
            return [not_supported(path.child("fieldPath"), "spec.nodeName", sorted(allowed))]
        if subscript is not None:
            detail = f"error converting fieldPath: field label does not support subscript: {field}"
        else:
            detail = f"error converting fieldPath: field label not supported: {field}"
        return [invalid(path.child("fieldPath"), field, detail)]
    if whole not in allowed:
        return [not_supported(path.child("fieldPath"), whole, sorted(allowed))]
    return []


def _split(field: str) -> tuple[str, str | None]:
    if field.endswith("']") and "['" in field:
        whole, _, subscript = field[:-2].partition("['")
        if whole:
            return whole, subscript
    return field, None


def container_resource(reference: Obj, path: Path, *, in_volume: bool) -> Errors:
    """A `resourceFieldRef`; in a volume it must say whose amounts are meant."""
    found: Errors = []
    resource = reference.get("resource") or ""
    if in_volume and not reference.get("containerName"):
        found.append(required(path.child("containerName")))
    elif not resource:
        found.append(required(path.child("resource")))
    elif resource not in CONTAINER_RESOURCES and not _is_huge(resource):
        found.append(not_supported(path.child("resource"), resource, CONTAINER_RESOURCES))
    return found + _divisor(resource, reference.get("divisor"), path)


def _is_huge(resource: str) -> bool:
    return resource.startswith(("limits.hugepages-", "requests.hugepages-"))


def _divisor(resource: str, divisor: Any, path: Path) -> Errors:
    if divisor is None:
        return []
    try:
        amount = Quantity.parse(str(divisor))
    except ValueError as wrong:
        return [invalid(path.child("divisor"), divisor, str(wrong))]
    if amount == Quantity.parse("0"):
        return []
    text, name = str(amount), resource.partition(".")[2]
    sizes = ", ".join(_SIZES)
    if name == "cpu" and text not in {"1m", "1"}:
        detail = "only divisor's values 1m and 1 are supported with the cpu resource"
    elif name == "memory" and text not in _SIZES:
        detail = f"only divisor's values {sizes} are supported with the memory resource"
    elif name == "ephemeral-storage" and text not in _SIZES:
        detail = f"only divisor's values {sizes} are supported with the local ephemeral storage resource"
    elif _is_huge(resource) and text not in _SIZES:
        detail = f"only divisor's values {sizes} are supported with the hugepages resource"
    else:
        return []
    return [invalid(path.child("divisor"), resource, detail)]
