"""Kinds served in more than one version: objects between the version asked for and the stored one."""

from __future__ import annotations

from typing import Any

from apimachinery import conversion
from apimachinery.resources import ResourceInfo

JSON = dict[str, Any]


def is_stored_version(info: ResourceInfo) -> bool:
    return info.storage_api_version == info.api_version


def from_stored(info: ResourceInfo, obj: JSON) -> JSON:
    """`obj` may be returned as it is."""
    return obj if is_stored_version(info) else conversion.from_storage(info, obj)


def to_stored(info: ResourceInfo, obj: JSON) -> JSON:
    return obj if is_stored_version(info) else conversion.to_storage(info, obj)
