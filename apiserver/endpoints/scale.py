"""The scale subresource: how many replicas, of whatever kind, behind one shape."""

from __future__ import annotations

from typing import Any

from apimachinery import errors
from apimachinery.fields import Path, invalid
from apimachinery.resources import ResourceInfo
from apimachinery.selectors import from_label_selector, from_labels
from apiserver.endpoints import body, decode, patch
from apiserver.endpoints.core import Core, field_validation, write_of
from apiserver.endpoints.exchange import Exchange
from apiserver.endpoints.get import read
from apiserver.registry.writer import SeenAs

JSON = dict[str, Any]
_META = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")


async def handle(core: Core, exchange: Exchange, info: ResourceInfo) -> None:
    exchange.choose()
    match exchange.target.verb:
        case "get":
            entry = await read(core, exchange, info)
            await exchange.answer_object(200, scale_of(entry.shared()))
        case "update":
            kind = decode.as_resource(core.catalog, "autoscaling/v1", "Scale")
            wanted = await decode.read_object(exchange, kind)
            decode.settle_names(exchange, info, wanted, exchange.target.name)
            await _write(core, exchange, info, lambda old: wanted)
        case "patch":
            media, mode = body.media_type(exchange, ""), field_validation(exchange)
            if media not in (patch.JSON_PATCH, patch.MERGE, patch.STRATEGIC):
                raise errors.unsupported_media_type((patch.JSON_PATCH, patch.MERGE, patch.STRATEGIC))
            kind = decode.as_resource(core.catalog, "autoscaling/v1", "Scale")
            merge = patch.merger(media, await body.read(exchange), kind)
            await _write(core, exchange, info, lambda old: patch.patched(exchange, kind, merge, scale_of(old), mode))


async def _write(core: Core, exchange: Exchange, info: ResourceInfo, wanted: Any) -> None:
    write = write_of(exchange)
    target = exchange.target

    async def change(old: JSON) -> JSON:
        scale = wanted(old)
        replicas = (scale.get("spec") or {}).get("replicas") or 0
        if replicas < 0:
            problem = invalid(Path("spec").child("replicas"), replicas, "must be greater than or equal to 0")
            raise errors.invalid("autoscaling", "Scale", target.name, [problem])
        old["spec"] = {**old["spec"], "replicas": replicas}
        for name in ("uid", "resourceVersion"):
            if scale["metadata"].get(name):
                old["metadata"][name] = scale["metadata"][name]
        return old

    write.seen_as = SeenAs("scale", ("autoscaling", "v1", "Scale"), scale_of, _take)
    written = await core.writer.update(info, target.namespace, target.name, change, write)
    await exchange.answer_object(200, scale_of(written.entry.shared()))


def _take(scale: JSON, obj: JSON) -> None:
    obj["spec"]["replicas"] = (scale.get("spec") or {}).get("replicas") or 0


def scale_of(obj: JSON) -> JSON:
    metadata, spec, status = obj["metadata"], obj.get("spec") or {}, obj.get("status") or {}
    selector = spec.get("selector") or {}
    structured = "matchLabels" in selector or "matchExpressions" in selector
    text = str(from_label_selector(selector) if structured else from_labels(selector))
    replicas = spec.get("replicas")
    return {
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": {name: metadata[name] for name in _META if name in metadata},
        "spec": {"replicas": replicas} if replicas else {},
        "status": {"replicas": status.get("replicas") or 0, **({"selector": text} if text else {})},
    }
