"""Kinds served in more than one version: objects between the version asked for and the stored one.

Caches hold objects as they are stored, and answers in other versions are made of them. Only where a webhook converts,
which takes its time, every version of a custom kind has a cache of its own, with objects in that version.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

from apimachinery import conversion
from apimachinery.resources import ResourceInfo
from apimachinery.schema.nodes import DecodeError
from apiserver.storage import encoding

if TYPE_CHECKING:
    from apimachinery.structural.version import CustomVersion

JSON = dict[str, Any]


def is_cached_version(info: ResourceInfo) -> bool:
    """Whether the entries of the resource's cache are in the version of `info`."""
    return info.storage_api_version == info.api_version or has_own_cache(info)


def has_own_cache(info: ResourceInfo) -> bool:
    return info.custom is not None and info.custom.convert is not None


def from_stored(info: ResourceInfo, obj: JSON) -> JSON:
    """An entry's object in the version of `info`; `obj` may be returned as it is."""
    if is_cached_version(info):
        return obj
    return info.custom.renamed(obj) if info.custom is not None else conversion.from_storage(info, obj)


async def encoded(info: ResourceInfo, obj: JSON) -> tuple[bytes, bytes]:
    """What the store is to hold for an object, and what the cache. Raises StatusError where a webhook refuses."""
    if info.custom is None:
        value = encoding.for_storage(conversion.to_storage(info, obj))
        return value, value
    stored = info.custom.versions[info.storage_version]
    if stored.convert is None or stored is info.custom:
        value = encoding.for_storage(obj if obj["apiVersion"] == stored.api_version else stored.renamed(obj))
        return value, value
    (converted,) = await stored.convert([obj])
    return encoding.for_storage(converted), encoding.for_storage(obj)


def prepare(stored: CustomVersion, value: bytes) -> bytes:
    """A value from the store as if it had been written today, in the version that is stored today."""
    was = orjson.loads(value)
    try:
        obj = stored.read(was)
        if obj["apiVersion"] != stored.api_version:
            obj = stored.renamed(obj)
    except DecodeError:  # stored before anybody looked that closely
        return value
    return value if obj == was else encoding.for_storage(obj)
