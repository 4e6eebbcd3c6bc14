"""Entries in the form an answer asks for: the stored bytes as they are, another version, a table, bare metadata."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import orjson

from apimachinery import protobuf, table
from apimachinery.resources import ResourceInfo
from apiserver.endpoints.accept import PROTOBUF, Representation
from apiserver.registry import versions
from apiserver.storage.cache import Entry
from apiserver.storage.encoding import JSON
from apiserver.storage.listing import Page
from component_base.clock import Clock

_META = {"v1": "meta.k8s.io/v1", "v1beta1": "meta.k8s.io/v1beta1"}


def list_metadata(page: Page) -> JSON:
    metadata: JSON = {"resourceVersion": str(page.revision)}
    if page.token is not None:
        metadata["continue"] = page.token.text()
        if page.remaining is not None:
            metadata["remainingItemCount"] = page.remaining
    return metadata


class Renderer:
    """Of one resource in one representation. Stateless, so that watchers may share its output."""

    def __init__(self, info: ResourceInfo, shape: Representation, include_object: str, clock: Clock) -> None:
        self._info = info
        self._shape = shape
        self._include = include_object or "Metadata"
        self._clock = clock
        self._as_stored = versions.is_cached_version(info)

    @property
    def view(self) -> tuple[str, str, str, str, str]:
        """Equal views render equally."""
        include = self._include if self._shape.transform == "Table" else ""
        return (self._info.api_version, self._shape.transform, self._shape.version, include, self._shape.media_type)

    def object(self, entry: Entry) -> bytes:
        match self._shape.transform:
            case "Table":
                return orjson.dumps(self._table([entry], {"resourceVersion": str(entry.revision)}, True))
            case "PartialObjectMetadata":
                return orjson.dumps(partial(entry.peek(), self._shape.version))
        return self.native(entry)

    def native(self, entry: Entry) -> bytes:
        if self._as_stored:
            return entry.data
        return orjson.dumps(versions.from_stored(self._info, entry.copy()))

    def list_parts(self, page: Page) -> Sequence[bytes]:
        """The list in pieces, of which the items may be shared with other answers."""
        match self._shape.transform:
            case "Table":
                return [orjson.dumps(self._table(page.entries, list_metadata(page), True))]
            case "PartialObjectMetadata" | "PartialObjectMetadataList":
                partials = {"kind": "PartialObjectMetadataList", "apiVersion": _META[self._shape.version]}
                items = [partial(entry.peek(), self._shape.version) for entry in page.entries]
                return [orjson.dumps({**partials, "metadata": list_metadata(page), "items": items})]
        head: JSON = {"kind": self._info.list_kind, "apiVersion": self._info.api_version}
        head["metadata"] = list_metadata(page)
        joined = page.items() if self._as_stored else b",".join([self.native(entry) for entry in page.entries])
        return [b'%b,"items":[' % orjson.dumps(head)[:-1], joined, b"]}\n"]

    def event(self, kind: str, entry: Entry, first: bool) -> bytes:
        match self._shape.transform:
            case "Table":
                data = orjson.dumps(self._table([entry], {"resourceVersion": str(entry.revision)}, first))
            case "PartialObjectMetadata" | "PartialObjectMetadataList":
                data = orjson.dumps(partial(entry.peek(), self._shape.version))
            case _:
                data = self.native(entry)
        return self._frame(kind, data)

    def _frame(self, kind: str, data: bytes) -> bytes:
        if self._shape.media_type == PROTOBUF:
            return protobuf.watch_frame(kind, protobuf.encode(orjson.loads(data)))
        return b'{"type":"%b","object":%b}\n' % (kind.encode(), data)

    def bookmark(self, revision: int, initial_end: bool) -> bytes:
        metadata: JSON = {"resourceVersion": str(revision), "creationTimestamp": None}
        if initial_end:
            metadata["annotations"] = {"k8s.io/initial-events-end": "true"}
        obj: JSON = {"kind": self._info.kind, "apiVersion": self._info.api_version, "metadata": metadata}
        match self._shape.transform:
            case "Table":
                head = {"kind": "Table", "apiVersion": _META[self._shape.version]}
                del metadata["creationTimestamp"]
                obj = {**head, "metadata": metadata, "columnDefinitions": None, "rows": []}
            case "PartialObjectMetadata" | "PartialObjectMetadataList":
                obj["kind"], obj["apiVersion"] = "PartialObjectMetadata", _META[self._shape.version]
        return self._frame("BOOKMARK", orjson.dumps(obj))

    def _table(self, entries: Iterable[Entry], metadata: JSON, columns: bool) -> JSON:
        now = self._clock.now()
        rows = []
        for entry in entries:
            obj = entry.peek() if self._as_stored else versions.from_stored(self._info, entry.copy())
            row: JSON = {"cells": table.row(self._info, obj, now)}
            if self._include == "Object":
                row["object"] = obj
            elif self._include == "Metadata":
                row["object"] = partial(obj, self._shape.version)
            rows.append(row)
        return {
            "kind": "Table",
            "apiVersion": _META[self._shape.version],
            "metadata": metadata,
            "columnDefinitions": table.columns(self._info) if columns else None,
            "rows": rows,
        }


def partial(obj: dict[str, Any], version: str) -> JSON:
    return {"kind": "PartialObjectMetadata", "apiVersion": _META[version], "metadata": obj.get("metadata", {})}
