"""PATCH: a change of an object by JSON patch, merge patch, strategic merge patch, or server-side apply."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from apimachinery import errors, fields
from apimachinery.patch import json_patch, merge_patch, result, strategic
from apimachinery.resources import ResourceInfo
from apiserver.endpoints import body, decode, managed
from apiserver.endpoints.core import Core, field_validation, write_of
from apiserver.endpoints.exchange import Exchange

JSON = dict[str, Any]
Merge = Callable[[JSON], Any]
JSON_PATCH, MERGE, STRATEGIC = (
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
)
APPLY, APPLY_CBOR = "application/apply-patch+yaml", "application/apply-patch+cbor"


async def patch(core: Core, exchange: Exchange, info: ResourceInfo) -> None:
    exchange.choose()
    target = exchange.target
    media = body.media_type(exchange, "")
    supported = supported_types(core.catalog.is_builtin(info))
    if media not in supported or media == APPLY_CBOR:
        raise errors.unsupported_media_type(supported)
    write = write_of(exchange)
    if "force" in exchange.query and media != APPLY:
        problem = fields.forbidden(fields.Path("force"), "may not be specified for non-apply patch")
        raise errors.invalid("meta.k8s.io", "PatchOptions", "", [problem])
    mode = field_validation(exchange)
    data = await body.read(exchange)
    write.size = len(data)
    if media == APPLY:
        change = await managed.applier(exchange, info, data, mode, core.clock)
    else:
        exchange.note_patch(data)
        change = changer(exchange, info, media, data, mode)
        write.manage = managed.recorder(exchange, info, core.clock)
    create = media == APPLY and not target.subresource
    written = await core.writer.update(info, target.namespace, target.name, change, write, target.subresource, create)
    await exchange.answer_json(201 if written.created else 200, core.renderer(exchange, info).object(written.entry))


def supported_types(builtin: bool) -> tuple[str, ...]:
    """Custom resources have no schema that says how lists merge strategically."""
    return (JSON_PATCH, MERGE, *((STRATEGIC,) if builtin else ()), APPLY, APPLY_CBOR)


def changer(exchange: Exchange, info: ResourceInfo, media: str, data: bytes, mode: str) -> Any:
    """The change that the writer makes to the newest object."""
    change_of = merger(media, data, info)
    mark = len(exchange.warnings)

    async def change(old: JSON) -> JSON:
        del exchange.warnings[mark:]  # of an earlier try
        obj = patched(exchange, info, change_of, old, mode)
        keep_names(info, obj, old)
        return obj

    return change


@dataclass(frozen=True, slots=True)
class Merger:
    """How a patch changes an object, its duplicate fields, and what complaints about the result quote."""

    run: Merge
    duplicates: list[str]
    quoted: Merge


def patched(exchange: Exchange, info: ResourceInfo, merge: Merger, old: JSON, mode: str) -> JSON:
    """The patched object, typed and pruned. Raises StatusError 422 if it is none, or has what Strict forbids."""
    made = merge.run(old)
    if isinstance(made, dict) and (problem := another_kind(info, made)):
        raise result.refused(merge.quoted(made), problem)
    decoded = result.retyped(info, made, lambda: merge.quoted(made))
    decoded.unknown[:0] = merge.duplicates
    if mode == "Strict" and decoded.findings:
        raise result.refused(merge.quoted(made), f"strict decoding error: {', '.join(decoded.findings)}")
    return decode.accept(exchange, info, decoded, mode)


def another_kind(info: ResourceInfo, made: JSON) -> str:
    """Why the decoder does not take the object for one of `info`'s kind; what is left out is filled in."""
    api_version, kind = made.get("apiVersion") or info.api_version, made.get("kind") or info.kind
    if (api_version, kind) != (info.api_version, info.kind):
        return f"no kind {fields.quote(str(kind))} is registered for version {fields.quote(str(api_version))}"
    made["apiVersion"], made["kind"] = api_version, kind
    return ""


def merger(media: str, data: bytes, info: Any) -> Merger:
    """The patch in a body. Raises StatusError 400, as do the changes.

    Upstream quotes the object that a JSON or merge patch made, but a strategic patch itself.
    """
    if media == JSON_PATCH:
        operations, duplicates = json_patch.decode(data)

        def run(old: JSON) -> Any:
            try:
                return json_patch.apply(old, operations)
            except json_patch.PatchError as error:
                raise error.status() from None

        return Merger(run, duplicates, lambda made: made)
    if media == MERGE:
        parsed, duplicates = merge_patch.decode(data)
        return Merger(lambda old: merge_patch.apply(old, parsed), duplicates, lambda made: made)
    change, duplicates = strategic.decode(data)

    def merge(old: JSON) -> Any:  # what kind the object is does not come from its bytes here
        made = strategic.apply(old, change, info)
        return {**made, "apiVersion": info.api_version, "kind": info.kind} if isinstance(made, dict) else made

    return Merger(merge, duplicates, lambda _: strategic.go_value(change))


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
