"""The scale subresource: how many replicas, of whatever kind, behind one shape."""

from __future__ import annotations

import dataclasses
import functools
import inspect
from typing import Any

from apimachinery import errors
from apimachinery.fields import Path, invalid, quote
from apimachinery.patch import scale_fields
from apimachinery.resources import ResourceInfo
from apimachinery.selectors import from_label_selector, from_labels
from apiserver.endpoints import body, decode, managed, patch
from apiserver.endpoints.core import Core, field_validation, write_of
from apiserver.endpoints.exchange import Exchange
from apiserver.endpoints.get import read
from apiserver.registry.writer import SeenAs

JSON = dict[str, Any]
_PATCHES = (patch.JSON_PATCH, patch.MERGE, patch.STRATEGIC, patch.APPLY, patch.APPLY_CBOR)
_META = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")


async def handle(core: Core, exchange: Exchange, info: ResourceInfo) -> None:
    exchange.choose()
    match exchange.target.verb:
        case "get":
            entry = await read(core, exchange, info)
            await exchange.answer_object(200, shown(info, entry.shared()))
        case "update":
            kind = decode.as_resource(core.catalog, "autoscaling/v1", "Scale")
            wanted = await decode.read_object(exchange, kind)
            decode.settle_names(exchange, info, wanted, exchange.target.name)
            await _write(core, exchange, info, lambda old: wanted)
        case "patch":
            media, mode = body.media_type(exchange, ""), field_validation(exchange)
            kind = decode.as_resource(core.catalog, "autoscaling/v1", "Scale")
            if media == patch.APPLY:
                await _apply(core, exchange, info, kind, mode)
                return
            if media not in _PATCHES or media == patch.APPLY_CBOR:
                raise errors.unsupported_media_type(_PATCHES)
            merge = patch.merger(media, await body.read(exchange), kind)
            of = functools.partial(scale_of, info)
            await _write(core, exchange, info, lambda old: patch.patched(exchange, kind, merge, of(old), mode))


async def _apply(core: Core, exchange: Exchange, info: ResourceInfo, kind: ResourceInfo, mode: str) -> None:
    """Server-side apply of the number of replicas: the owners are those of the field in the object behind it."""
    path = scale_fields.path_of(info.custom.scale.spec if info.custom and info.custom.scale else ".spec.replicas")
    kind = dataclasses.replace(kind, namespaced=info.namespaced)
    change = await managed.applier(exchange, kind, await body.read(exchange), mode, core.clock)

    async def applied(old: JSON) -> JSON:
        live = scale_of(info, old)
        live["metadata"]["managedFields"] = scale_fields.seen(old, path)
        scale = await change(live)
        scale_fields.taken_over(old, path, scale["metadata"].get("managedFields") or [], info.api_version)
        return scale

    await _write(core, exchange, info, applied, record=False)


async def _write(core: Core, exchange: Exchange, info: ResourceInfo, wanted: Any, record: bool = True) -> None:
    write = write_of(exchange)
    target = exchange.target

    async def change(old: JSON) -> JSON:
        made = wanted(old)
        scale = await made if inspect.isawaitable(made) else made
        replicas = (scale.get("spec") or {}).get("replicas") or 0
        if replicas < 0:
            problem = invalid(Path("spec").child("replicas"), replicas, "must be greater than or equal to 0")
            raise errors.invalid("autoscaling", "Scale", target.name, [problem])
        set_replicas(info, old, replicas)
        for name in ("uid", "resourceVersion"):
            if scale["metadata"].get(name):
                old["metadata"][name] = scale["metadata"][name]
        return old

    write.seen_as = SeenAs(
        "scale", ("autoscaling", "v1", "Scale"), functools.partial(scale_of, info), functools.partial(_take, info)
    )
    if record:
        manage = managed.recorder(exchange, info, core.clock)
        write.manage = lambda new, old, subresource: manage(new, old, "scale")
    written = await core.writer.update(info, target.namespace, target.name, change, write)
    await exchange.answer_object(200, scale_of(info, written.entry.shared()))


def _take(info: ResourceInfo, scale: JSON, obj: JSON) -> None:
    set_replicas(info, obj, (scale.get("spec") or {}).get("replicas") or 0)


def set_replicas(info: ResourceInfo, obj: JSON, replicas: int) -> None:
    if info.custom is not None and info.custom.scale is not None:
        info.custom.scale.set_replicas(obj, replicas)
    else:
        obj["spec"] = {**obj["spec"], "replicas": replicas}


def shown(info: ResourceInfo, obj: JSON) -> JSON:
    """As `scale_of`. Raises StatusError 500 for a custom object that does not say how many replicas it wants."""
    paths = info.custom.scale if info.custom is not None else None
    if paths is not None and paths.replicas(obj) is None:
        raise errors.internal(f"the spec replicas field {quote(paths.spec)} does not exist")
    return scale_of(info, obj)


def scale_of(info: ResourceInfo, obj: JSON) -> JSON:
    if info.custom is not None and info.custom.scale is not None:
        paths = info.custom.scale
        return _scale(obj, paths.replicas(obj), paths.status_replicas(obj), paths.selector_text(obj))
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    selector = spec.get("selector") or {}
    structured = "matchLabels" in selector or "matchExpressions" in selector
    text = str(from_label_selector(selector) if structured else from_labels(selector))
    return _scale(obj, spec.get("replicas"), status.get("replicas") or 0, text)


def _scale(obj: JSON, wanted: int | None, present: int, selector: str) -> JSON:
    return {
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": {name: obj["metadata"][name] for name in _META if name in obj["metadata"]},
        "spec": {"replicas": wanted} if wanted else {},
        "status": {"replicas": present, **({"selector": selector} if selector else {})},
    }
