"""The annotation in which kubectl's client-side apply keeps what it applied last, as server-side apply honours it.

Who moves from one to the other with the manager `kubectl` is not told of conflicts with himself, and the annotation is
kept up to date, so that he can go back.
"""

from __future__ import annotations

from typing import Any

import orjson

from apimachinery import fields
from apimachinery.patch import fieldset, granular
from apimachinery.patch.fieldset import Node as Fields
from apimachinery.schema.nodes import Field

ANNOTATION = "kubectl.kubernetes.io/last-applied-configuration"
KUBECTL = "kubectl"
_MAX_BYTES = 256 * 1024


def _text(obj: dict[str, Any]) -> str:
    annotations = (obj.get("metadata") or {}).get("annotations") or {}
    return str(annotations.get(ANNOTATION) or "")


def owned(live: dict[str, Any], api_version: str, root: Field) -> Fields:
    """The fields client-side apply set and nobody has changed since; none if the annotation tells nothing."""
    try:
        last = orjson.loads(_text(live))
    except orjson.JSONDecodeError:
        return {}
    if not isinstance(last, dict) or last.get("apiVersion") != api_version:
        return {}
    last = _without_nulls(last)
    try:
        found = granular.compare(live, last, root)
        mine = granular.to_fields(last, root)
    except granular.KeyMissing:
        return {}
    for changed in (found.modified, found.added, found.removed):
        mine = fieldset.difference(mine, changed)
    return mine


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_nulls(item) for name, item in value.items() if item is not None}
    return [_without_nulls(item) for item in value] if isinstance(value, list) else value


def synced(result: dict[str, Any], config: dict[str, Any]) -> dict[str, Any]:
    """The applied object with the annotation, if it has one, telling this configuration."""
    if not _text(result):
        return result
    metadata = dict(config.get("metadata") or {})
    annotations = {key: value for key, value in (metadata.get("annotations") or {}).items() if key != ANNOTATION}
    if annotations:
        metadata["annotations"] = annotations
    else:
        metadata.pop("annotations", None)
    text = fields.to_json(config | {"metadata": metadata}) + "\n"
    if len(text) > _MAX_BYTES:
        return result
    held = result["metadata"]
    return result | {"metadata": held | {"annotations": held["annotations"] | {ANNOTATION: text}}}
