"""From a request's body to an object: schema decoding, and what fieldValidation says about unknown fields."""

from __future__ import annotations

from typing import Any

from apimachinery import errors, schema
from apimachinery.gvk import split_api_version
from apimachinery.resources import ResourceInfo
from apiserver.endpoints import body
from apiserver.endpoints.core import field_validation
from apiserver.endpoints.exchange import Exchange
from apiserver.registry.catalog import Catalog

JSON = dict[str, Any]


async def read_object(exchange: Exchange, info: ResourceInfo) -> JSON:
    """The body as an object of `info`'s kind. Raises StatusError 400, 413, 415."""
    mode = field_validation(exchange)
    media = body.object_media_type(exchange)
    data = await body.read(exchange)
    decoded = await body.decoded(lambda: schema.decode(info, data, media), data)
    exchange.note_object(decoded.obj)
    return accept(exchange, info, decoded, mode)


def accept(exchange: Exchange, info: ResourceInfo, decoded: schema.Decoded, mode: str) -> JSON:
    """The object, with complaints about its fields made or refused as `mode` says."""
    complain(exchange, info, decoded.findings, mode)
    obj = decoded.obj
    if not isinstance(obj.get("metadata"), dict):
        obj["metadata"] = {}
    return obj


def complain(exchange: Exchange, info: ResourceInfo, complaints: list[str], mode: str) -> None:
    """As a warning, a refusal, or not at all."""
    if not complaints or mode == "Ignore":
        return
    if mode == "Warn":
        exchange.warnings.extend(complaints)
        return
    said = f"strict decoding error: {', '.join(complaints)}"
    raise errors.bad_request(f'{info.kind} in version "{info.version}" cannot be handled as a {info.kind}: {said}')


def as_resource(catalog: Catalog, api_version: str, kind: str) -> ResourceInfo:
    """A description good enough to decode a body which is no resource of its own: Scale, Eviction, TokenRequest."""
    group, version = split_api_version(api_version)
    return catalog.find_kind(group, version, kind) or ResourceInfo(group, version, kind, plural=kind.lower() + "s")


def settle_names(exchange: Exchange, info: ResourceInfo, obj: JSON, name: str = "") -> None:
    """The URL's namespace and name are the object's. Raises StatusError 400 where both are given and differ."""
    metadata = obj["metadata"]
    namespace = exchange.target.namespace if info.namespaced else ""
    given = metadata.get("namespace") or ""
    if info.namespaced:
        if given and given != namespace:
            raise errors.bad_request(
                "the namespace of the provided object does not match the namespace sent on the request"
            )
        metadata["namespace"] = namespace
    elif given:
        metadata.pop("namespace")
    if name:
        said = metadata.get("name") or ""
        if said and said != name:
            raise errors.bad_request(f"the name of the object ({said}) does not match the name on the URL ({name})")
        metadata["name"] = name
