"""PATCH: a change of an object by JSON patch, merge patch, strategic merge patch, or server-side apply."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson

from apimachinery import errors, schema
from apimachinery.patch import json_patch, merge_patch, strategic
from apimachinery.resources import ResourceInfo
from apiserver.endpoints import body, decode, managed
from apiserver.endpoints.core import Core, field_validation, write_of
from apiserver.endpoints.exchange import Exchange

JSON = dict[str, Any]
JSON_PATCH, MERGE, STRATEGIC = (
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
)
APPLY = "application/apply-patch+yaml"
_BUILTIN = (JSON_PATCH, MERGE, STRATEGIC, APPLY, "application/apply-patch+cbor")
MAX_OPERATIONS = 10_000


async def patch(core: Core, exchange: Exchange, info: ResourceInfo) -> None:
    exchange.choose()
    target = exchange.target
    media = body.media_type(exchange, "")
    builtin = core.catalog.is_builtin(info)
    supported = _BUILTIN if builtin else (JSON_PATCH, MERGE, APPLY)
    if media not in supported or media.endswith("cbor"):
        raise errors.unsupported_media_type(supported)
    write = write_of(exchange)
    mode = field_validation(exchange)
    data = await body.read(exchange)
    if media == APPLY:
        change, write.manage = managed.applier(core, exchange, info, data, mode)
    else:
        change = changer(exchange, info, media, data, mode)
        write.manage = managed.recorder(exchange, info, core.clock)
    create = media == APPLY and not target.subresource
    written = await core.writer.update(info, target.namespace, target.name, change, write, target.subresource, create)
    await exchange.answer_json(201 if written.created else 200, core.renderer(exchange, info).object(written.entry))


def changer(exchange: Exchange, info: ResourceInfo, media: str, data: bytes, mode: str) -> Any:
    """The change that the writer makes to the newest object."""
    parsed = parse(media, data)
    merge = method(media, parsed, info)

    async def change(old: JSON) -> JSON:
        warnings = len(exchange.warnings)
        patched = merge(old)
        if not isinstance(patched, dict):
            raise errors.bad_request("the patch does not leave an object")
        decoded = schema.decode_value(info, patched, b"")
        del exchange.warnings[warnings:]
        obj = decode.accept(exchange, info, decoded, mode)
        keep_names(info, obj, old)
        return obj

    return change


def parse(media: str, data: bytes) -> Any:
    """Raises StatusError 400."""
    try:
        parsed = orjson.loads(data)
    except orjson.JSONDecodeError:
        try:
            parsed, _ = schema.parse(data, "application/yaml")
        except ValueError as error:
            raise errors.bad_request(f"error decoding patch: {error}") from None
    if media == JSON_PATCH:
        if not isinstance(parsed, list):
            raise errors.bad_request("error decoding patch: a JSON patch is a list of operations")
        if len(parsed) > MAX_OPERATIONS:
            raise errors.StatusError(
                413,
                "RequestEntityTooLarge",
                f"The allowed maximum operations in a JSON patch is {MAX_OPERATIONS}, got {len(parsed)}",
            )
    elif not isinstance(parsed, dict):
        raise errors.bad_request("error decoding patch: the patch is not an object")
    return parsed


def method(media: str, parsed: Any, info: ResourceInfo) -> Callable[[JSON], Any]:
    """Raises StatusError when the patch does not fit the object."""

    def run(old: JSON) -> Any:
        if media == JSON_PATCH:
            return json_patch.apply(old, parsed)
        if media == MERGE:
            return merge_patch.apply(old, parsed)
        return strategic.apply(old, parsed, info)

    return run


def keep_names(info: ResourceInfo, obj: JSON, old: JSON) -> None:
    """A patch cannot rename. Raises StatusError 400."""
    metadata, before = obj["metadata"], old["metadata"]
    if metadata.get("name") != before["name"]:
        raise errors.bad_request(
            f"the name of the object ({metadata.get('name', '')}) does not match the name on the URL ({before['name']})"
        )
    if info.namespaced and metadata.get("namespace") != before.get("namespace"):
        raise errors.bad_request(
            "the namespace of the provided object does not match the namespace sent on the request"
        )
