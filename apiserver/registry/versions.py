"""Kinds served in more than one version: objects between the version asked for and the stored one.

Caches of built-in kinds hold objects as they are stored; of custom kinds every version has a cache with objects in that
version (see `storage.feed`), since converting them may take a webhook.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

from apimachinery import conversion
from apimachinery.resources import ResourceInfo
from apimachinery.schema.nodes import DecodeError
from apiserver.storage import encoding

if TYPE_CHECKING:
    from apimachinery.structural import CustomVersion

JSON = dict[str, Any]


def is_cached_version(info: ResourceInfo) -> bool:
    """Whether the entries of the resource's cache are in the version of `info`."""
    return info.custom is not None or info.storage_api_version == info.api_version


def from_stored(info: ResourceInfo, obj: JSON) -> JSON:
    """An entry's object in the version of `info`; `obj` may be returned as it is."""
    return obj if is_cached_version(info) else conversion.from_storage(info, obj)


async def encoded(info: ResourceInfo, obj: JSON) -> tuple[bytes, bytes]:
    """What the store is to hold for an object, and what the cache. Raises StatusError where a webhook refuses."""
    if info.custom is None:
        value = encoding.for_storage(conversion.to_storage(info, obj))
        return value, value
    own = encoding.for_storage(obj)
    if info.storage_version == info.version:
        return own, own
    target = info.custom.versions[info.storage_version]
    if target.convert is None:
        return encoding.for_storage(target.renamed(obj)), own
    (converted,) = await target.convert([obj])
    return encoding.for_storage(converted), own


def prepare(custom: CustomVersion, value: bytes) -> bytes:
    """A stored value of a custom kind as its version's cache holds it, where no webhook is needed."""
    stored = orjson.loads(value)
    try:
        obj = current(custom, stored)
        if obj["apiVersion"] != custom.api_version:
            obj = custom.renamed(obj)
    except DecodeError:  # stored before anybody looked that closely
        return value
    return value if obj == stored else encoding.for_storage(obj)


def current(custom: CustomVersion, stored: JSON) -> JSON:
    """What is stored, pruned and with the defaults of today, still in its version."""
    return custom.read(stored)
