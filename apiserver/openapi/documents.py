"""OpenAPI documents, built from the catalog and the schemas when somebody asks for them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from apimachinery.resources import ResourceInfo
from apiserver.openapi import custom, operations, schemas
from apiserver.openapi.operations import Operation
from apiserver.registry.catalog import Catalog

JSON = dict[str, Any]
_META = "io.k8s.apimachinery.pkg.apis.meta.v1."
_ALWAYS = (f"{_META}Status", f"{_META}DeleteOptions", f"{_META}Patch", f"{_META}APIResourceList", f"{_META}WatchEvent")
_NO_AUTHORIZATION = {"401": {"description": "Unauthorized"}}


def info_block(version: str) -> JSON:
    return {"title": "Kubernetes", "version": version}


def v2(catalog: Catalog, version: str) -> JSON:
    """The whole of the API."""
    definitions = schemas.load(schemas.V2)
    for info in catalog:
        definitions |= custom.definitions(info, schemas.V2)
    kinds = schemas.by_kind(definitions)
    paths: dict[str, JSON] = {}
    for info in catalog:
        for operation in operations.of(info):
            item = paths.setdefault(operation.path, _path_item_v2(operation))
            item[operation.method] = _operation_v2(info, operation, kinds)
    return {"swagger": "2.0", "info": info_block(version), "paths": paths, "definitions": definitions}


def _path_item_v2(operation: Operation) -> JSON:
    if not operation.in_path:
        return {}
    return {"parameters": [{**_in_path(name), "type": "string"} for name in operation.in_path]}


def _in_path(name: str) -> JSON:
    return {"name": name, "in": "path", "required": True, "description": f"{name} of the object", "uniqueItems": True}


def _operation_v2(info: ResourceInfo, operation: Operation, kinds: Mapping[tuple[str, str, str], str]) -> JSON:
    parameters: list[JSON] = [
        {"name": name, "in": "query", "type": kind, "description": text, "uniqueItems": True}
        for name, kind, text in operation.parameters
    ]
    if body := _body(operation, kinds):
        parameters.insert(0, {"name": "body", "in": "body", "required": True, "schema": {"$ref": _ref(body, 0)}})
    return {
        "tags": [operation.tag],
        "description": _describe(info, operation),
        "operationId": operation.identifier,
        "consumes": list(operations.PATCH_TYPES) if operation.verb == "patch" else ["*/*"],
        "produces": ["application/json", "application/yaml"],
        "schemes": ["https"],
        "parameters": parameters,
        "responses": {
            "200": {"description": "OK", "schema": {"$ref": _ref(_answer(info, operation, kinds), 0)}},
            **_NO_AUTHORIZATION,
        },
        **operation.extensions,
    }


def _describe(info: ResourceInfo, operation: Operation) -> str:
    return f"{operation.verb} {info.kind} objects at {operation.path}"


def _ref(name: str, dialect: int) -> str:
    return schemas.PREFIX[dialect] + name


def _body(operation: Operation, kinds: Mapping[tuple[str, str, str], str]) -> str:
    if operation.verb == "patch":
        return f"{_META}Patch"
    if operation.verb in ("delete", "deletecollection"):
        return f"{_META}DeleteOptions"
    return kinds.get(operation.gvk, "") if operation.writes else ""


def _answer(info: ResourceInfo, operation: Operation, kinds: Mapping[tuple[str, str, str], str]) -> str:
    if operation.verb == "list":
        return kinds.get((info.group, info.version, info.list_kind)) or f"{_META}Status"
    if operation.verb in ("delete", "deletecollection"):
        return f"{_META}Status"
    return kinds.get(operation.gvk) or f"{_META}Status"


def v3(catalog: Catalog, group: str, version: str, server_version: str) -> JSON:
    """One group version."""
    definitions = schemas.load(schemas.V3)
    for info in catalog.of(group, version):
        definitions |= custom.definitions(info, schemas.V3)
    kinds = schemas.by_kind(definitions)
    paths: dict[str, JSON] = {}
    roots = set(_ALWAYS)
    for info in catalog.of(group, version):
        for operation in operations.of(info):
            item = paths.setdefault(operation.path, _path_item_v3(operation))
            item[operation.method] = _operation_v3(info, operation, kinds)
            roots |= {_body(operation, kinds), _answer(info, operation, kinds)}
    return {
        "openapi": "3.0.0",
        "info": info_block(server_version),
        "paths": paths,
        "components": {"schemas": _for_group(schemas.reachable(definitions, roots), group, version)},
    }


def _for_group(found: Mapping[str, JSON], group: str, version: str) -> JSON:
    """Options kinds belong to every group: a document lists only its own, or clients find them many times."""
    result = {}
    for name, schema in found.items():
        listed = schema.get("x-kubernetes-group-version-kind")
        if listed and len(listed) > 1:
            own = [one for one in listed if (one.get("group", ""), one.get("version")) == (group, version)]
            schema = {**schema, "x-kubernetes-group-version-kind": own or listed}
        result[name] = schema
    return result


def _path_item_v3(operation: Operation) -> JSON:
    if not operation.in_path:
        return {}
    return {"parameters": [{**_in_path(name), "schema": {"type": "string"}} for name in operation.in_path]}


def _operation_v3(info: ResourceInfo, operation: Operation, kinds: Mapping[tuple[str, str, str], str]) -> JSON:
    result: JSON = {
        "tags": [operation.tag],
        "description": _describe(info, operation),
        "operationId": operation.identifier,
        "responses": {
            "200": {
                "description": "OK",
                "content": _content(("application/json", "application/yaml"), _answer(info, operation, kinds)),
            },
            **_NO_AUTHORIZATION,
        },
        **operation.extensions,
    }
    if operation.parameters:  # no empty list: clients compare what they read with what they would write
        result["parameters"] = [
            {"name": name, "in": "query", "description": text, "schema": {"type": kind, "uniqueItems": True}}
            for name, kind, text in operation.parameters
        ]
    if body := _body(operation, kinds):
        types = operations.PATCH_TYPES if operation.verb == "patch" else ("*/*",)
        result["requestBody"] = {"required": True, "content": _content(types, body)}
    return result


def _content(types: Iterable[str], name: str) -> JSON:
    return {one: {"schema": {"$ref": _ref(name, schemas.V3)}} for one in types}
