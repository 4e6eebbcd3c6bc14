"""Kinds served in more than one version: objects between the version asked for and the stored one."""

from __future__ import annotations

from apimachinery.resources import ResourceInfo
from apiserver.storage.encoding import JSON


def is_stored_version(info: ResourceInfo) -> bool:
    return info.storage_api_version == info.api_version


def from_stored(info: ResourceInfo, obj: JSON) -> JSON:
    """`obj` may be changed or returned as it is."""
    if is_stored_version(info):
        return obj
    return _convert(info, obj, info.api_version)


def to_stored(info: ResourceInfo, obj: JSON) -> JSON:
    if is_stored_version(info):
        return obj
    return _convert(info, obj, info.storage_api_version)


def _convert(info: ResourceInfo, obj: JSON, api_version: str) -> JSON:
    from apimachinery import conversion

    return conversion.convert(info, obj, api_version)
