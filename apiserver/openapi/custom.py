"""Schemas of custom kinds in OpenAPI documents, made from their definitions when a document is built."""

from __future__ import annotations

from typing import Any

from apimachinery.resources import ResourceInfo
from apimachinery.structural.schema import EMBEDDED, INT_OR_STRING, PRESERVE
from apiserver.openapi.schemas import PREFIX, V2

JSON = dict[str, Any]
_META = "io.k8s.apimachinery.pkg.apis.meta.v1."
_CONVENTIONS = "More info: https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md"
_API_VERSION = {
    "description": "APIVersion defines the versioned schema of this representation of an object. Servers should "
    "convert recognized schemas to the latest internal value, and may reject unrecognized values. "
    f"{_CONVENTIONS}#resources",
    "type": "string",
}
_KIND = {
    "description": "Kind is a string value representing the REST resource this object represents. Servers may infer "
    f"this from the endpoint the client submits requests to. Cannot be updated. In CamelCase. {_CONVENTIONS}"
    "#types-kinds",
    "type": "string",
}
_METADATA = f"Standard object's metadata. {_CONVENTIONS}#metadata"
_LIST_METADATA = f"Standard list metadata. {_CONVENTIONS}#types-kinds"
_ALTERNATIVES = ("allOf", "oneOf", "anyOf", "not")
_DROPPED = frozenset(("id", "$schema", "externalDocs", "example"))


def name_of(info: ResourceInfo, kind: str) -> str:
    """`com.example.stable.v1.CronTab`."""
    return ".".join((*reversed(info.group.split(".")), info.version, kind))


def definitions(info: ResourceInfo, dialect: int) -> dict[str, JSON]:
    """The schemas of a custom kind and of its lists, by name; none for a built-in kind."""
    if info.custom is None:
        return {}
    name = name_of(info, info.kind)
    extensions: JSON = {}
    if info.custom.selectable:
        extensions["x-kubernetes-selectable-fields"] = [{"fieldPath": one} for one in info.custom.selectable]
    listed: JSON = {
        "description": f"{info.list_kind} is a list of {info.kind}",
        "type": "object",
        "required": ["items"],
        "properties": {
            "apiVersion": _API_VERSION,
            "kind": _KIND,
            "metadata": _reference(f"{_META}ListMeta", dialect, _LIST_METADATA),
            "items": {
                "description": f"List of {info.plural}. {_CONVENTIONS}",
                "type": "array",
                "items": {"$ref": PREFIX[dialect] + name},
            },
        },
    }
    return {
        name: {**_object(info, dialect), **_kind_of(info, info.kind), **extensions},
        name_of(info, info.list_kind): {**listed, **_kind_of(info, info.list_kind), **extensions},
    }


def _kind_of(info: ResourceInfo, kind: str) -> JSON:
    return {
        "x-kubernetes-group-version-kind": [{"group": info.group, "version": info.version, "kind": kind}],
    }


def _reference(name: str, dialect: int, description: str) -> JSON:
    target = {"$ref": PREFIX[dialect] + name}
    if dialect == V2:
        return {"description": description, **target}
    return {"description": description, "allOf": [target], "default": {}}


def _object(info: ResourceInfo, dialect: int) -> JSON:
    assert info.custom is not None
    raw = info.custom.raw_schema()
    if raw is None or (dialect == V2 and (raw.get(PRESERVE) or info.custom.keep_unknown)):
        return {"type": "object"}  # with any property at all, kubectl would think that there are no others
    result = converted(raw, dialect)
    own = {"apiVersion": _API_VERSION, "kind": _KIND, "metadata": _reference(f"{_META}ObjectMeta", dialect, _METADATA)}
    return {**result, "properties": {**result.get("properties", {}), **own}}


def converted(raw: JSON, dialect: int) -> JSON:
    """A schema of a definition in a dialect of OpenAPI; version 2 knows no alternatives, no null and no `any`."""
    result: JSON = {name: value for name, value in raw.items() if name not in _DROPPED and value is not None}
    if dialect == V2:
        _simplify(result)
    if "properties" in result:
        result["properties"] = {name: converted(one, dialect) for name, one in result["properties"].items()}
    for name in ("items", "additionalProperties", "not"):
        if isinstance(result.get(name), dict):
            result[name] = converted(result[name], dialect)
    for name in ("allOf", "oneOf", "anyOf"):
        if name in result:
            result[name] = [converted(one, dialect) for one in result[name]]
    if raw.get(INT_OR_STRING) and dialect != V2 and "anyOf" not in result:
        result["anyOf"] = [{"type": "integer"}, {"type": "string"}]
    if raw.get(EMBEDDED) and not (dialect == V2 and raw.get(PRESERVE)):
        _embed(result, dialect)
    return result


def _simplify(result: JSON) -> None:
    """What kubectl's reader of version 2 stumbles over."""
    for name in _ALTERNATIVES:
        result.pop(name, None)
    if result.pop("nullable", False):
        for name in ("type", "items", "properties"):
            result.pop(name, None)
    if result.get(PRESERVE):
        result.pop("items", None)
        result.pop("properties", None)
        if result.get("type") == "object":
            del result["type"]
    if result.get("type") == "array" and "items" not in result:
        del result["type"]
    properties = result.get("properties") or {}
    needed = [name for name in result.get("required") or () if not (properties.get(name) or {}).get("nullable")]
    more = result.get("additionalProperties")
    if isinstance(more, dict) and more.get("nullable"):
        needed = []
    if needed:
        result["required"] = needed
    else:
        result.pop("required", None)


def _embed(result: JSON, dialect: int) -> None:
    own = {"apiVersion": _API_VERSION, "kind": _KIND, "metadata": _reference(f"{_META}ObjectMeta", dialect, _METADATA)}
    result["properties"] = {**result.get("properties", {}), **own}
    needed = list(result.get("required") or ())
    result["required"] = [*needed, *(name for name in ("kind", "apiVersion") if name not in needed)]
