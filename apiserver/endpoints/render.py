"""Entries in the form an answer asks for: the stored bytes as they are, another version, a table, bare metadata."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import orjson

from apimachinery import protobuf, table
from apimachinery.resources import ResourceInfo
from apiserver.endpoints.accept import JSON as JSON_TYPE
from apiserver.endpoints.accept import PROTOBUF, Representation
from apiserver.registry import versions
from apiserver.storage.cache import Entry
from apiserver.storage.encoding import JSON
from apiserver.storage.listing import Page
from component_base.clock import Clock
from component_base.turns import next_turn

#: Of entries that are rendered before others have their turn: about a millisecond if each must be decoded.
BATCH_BYTES = 64 * 1024
#: As many as are sent in that time if they lie there as they are sent.
STORED_BATCH_BYTES = 256 * 1024
RenderItems = Callable[[list[Entry]], bytes]
"""Items as JSON with commas between them."""
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
                return self._table(entry, True)
            case "PartialObjectMetadata":
                return orjson.dumps(partial(entry.peek(), self._shape.version))
        return self.native(entry)

    def native(self, entry: Entry) -> bytes:
        if self._as_stored:
            return entry.data
        return orjson.dumps(versions.from_stored(self._info, entry.copy()))

    def list_parts(self, page: Page) -> tuple[Iterator[bytes], int | None]:
        """The list as JSON, in pieces that take little time each, and how long all of them are, where that is known."""
        head, field, render = self._list_form(page)
        if self._shape.pretty and self._shape.media_type == JSON_TYPE:
            return _indented(head, field, page.entries, render or _joined), None
        opening, end = b'%b,"%b":[' % (orjson.dumps(head)[:-1], field), b"]}\n"
        if render is not None:
            return _between(opening, page.entries, render, end), None
        size = len(opening) + page.size + max(0, len(page.entries) - 1) + len(end)
        return _as_stored(opening, page.entries, end), size

    def _list_form(self, page: Page) -> tuple[JSON, bytes, RenderItems | None]:
        """What a list says of itself, the name of its items, and how they look (None: as they are stored)."""
        metadata, version = list_metadata(page), self._shape.version
        match self._shape.transform:
            case "Table":
                return (
                    self._table_head(metadata, True),
                    b"rows",
                    lambda entries: orjson.dumps(self._rows(entries))[1:-1],
                )
            case "PartialObjectMetadata" | "PartialObjectMetadataList":
                head = {"kind": "PartialObjectMetadataList", "apiVersion": _META[version], "metadata": metadata}
                return head, b"items", lambda entries: orjson.dumps([partial(e.peek(), version) for e in entries])[1:-1]
        head = {"kind": self._info.list_kind, "apiVersion": self._info.api_version, "metadata": metadata}
        if self._as_stored:
            return head, b"items", None
        return head, b"items", lambda entries: b",".join([self.native(entry) for entry in entries])

    async def protobuf_list(self, page: Page) -> bytes:
        """Raises WireError for kinds that have no such form."""
        items: list[bytes] = []
        for batch in _batches(page.entries):
            items += [protobuf.encode_message(self._decoded(entry)) for entry in batch]
            await next_turn()
        head, _, _ = self._list_form(page)
        return protobuf.encode_list(head["apiVersion"], head["kind"], head["metadata"], items)

    def _decoded(self, entry: Entry) -> JSON:
        if self._shape.transform:
            return partial(entry.peek(), self._shape.version)
        found: JSON = orjson.loads(self.native(entry))
        return found

    def event(self, kind: str, entry: Entry, first: bool) -> bytes:
        match self._shape.transform:
            case "Table":
                data = self._table(entry, first)
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

    def _table(self, entry: Entry, columns: bool) -> bytes:
        head = self._table_head({"resourceVersion": str(entry.revision)}, columns)
        return orjson.dumps({**head, "rows": self._rows([entry])})

    def _table_head(self, metadata: JSON, columns: bool) -> JSON:
        head = {"kind": "Table", "apiVersion": _META[self._shape.version], "metadata": metadata}
        return {**head, "columnDefinitions": table.columns(self._info) if columns else None}

    def _rows(self, entries: Iterable[Entry]) -> list[JSON]:
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
        return rows


def _batches(entries: list[Entry], most: int = BATCH_BYTES) -> Iterator[list[Entry]]:
    start = size = 0
    for end, entry in enumerate(entries, 1):
        size += len(entry.data)
        if size >= most:
            yield entries[start:end]
            start, size = end, 0
    if start < len(entries):
        yield entries[start:]


def _joined(entries: list[Entry]) -> bytes:
    return b",".join([entry.data for entry in entries])


def _as_stored(opening: bytes, entries: list[Entry], end: bytes) -> Iterator[bytes]:
    """Each byte is copied once."""
    before = opening
    for batch in _batches(entries, STORED_BATCH_BYTES):
        datas = [entry.data for entry in batch]
        datas[0] = before + datas[0]
        yield b",".join(datas)
        before = b","
    yield end if entries else opening + end


def _between(opening: bytes, entries: list[Entry], render: RenderItems, end: bytes) -> Iterator[bytes]:
    before = opening
    for batch in _batches(entries):
        yield before + render(batch)
        before = b","
    yield end if entries else opening + end


def _indented(head: JSON, field: bytes, entries: list[Entry], render: RenderItems) -> Iterator[bytes]:
    """As orjson indents the whole, which it would have to hold."""
    before = b'%b,\n  "%b": [' % (orjson.dumps(head, option=orjson.OPT_INDENT_2)[:-2], field)
    for batch in _batches(entries):
        items = orjson.dumps(orjson.loads(b"[%b]" % render(batch)), option=orjson.OPT_INDENT_2)
        yield before + items[1:-2].replace(b"\n", b"\n  ")
        before = b","
    yield b"\n  ]\n}" if entries else before + b"]\n}"


def partial(obj: dict[str, Any], version: str) -> JSON:
    return {"kind": "PartialObjectMetadata", "apiVersion": _META[version], "metadata": obj.get("metadata", {})}
