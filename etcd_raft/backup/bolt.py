"""The file format of bbolt, etcd's database: whole databases are written in one go, and read.

    page      id u64 | flags u16 | elements u16 | further pages of the same node u32
    leaf      per element: flags u32 | offset u32 | key size u32 | value size u32; then keys and values
    branch    per element: offset u32 | key size u32 | child page u64; then keys
    meta      magic | version | page size | flags | root page, sequence | free list page | pages | transaction | FNV-1a

Pages 0 and 1 are metas (the one of the newer transaction counts), the rest a B+ tree whose leaves name the buckets,
each a B+ tree of its own. Small buckets of other writers lie inside the leaf that names them.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final

PAGE: Final = 4096
#: A leaf may span pages; large ones keep the tree above them, which is planned in memory, small.
LEAF_BYTES: Final = 64 * 1024
_BRANCH, _LEAF, _META, _FREELIST = 0x01, 0x02, 0x04, 0x10
_MAGIC, _VERSION = 0xED0CDAED, 2
_HEADER = struct.Struct("<QHHI")
_LEAF_ELEMENT = struct.Struct("<IIII")
_BRANCH_ELEMENT = struct.Struct("<IIQ")
_META_FIELDS = struct.Struct("<IIIIQQQQQ")
_BUCKET = struct.Struct("<QQ")
_IS_BUCKET = 1
_MAX_DEPTH = 64
#: Elements between two pauses.
_SLICE = 2000

Items = Iterable[tuple[bytes, bytes]]


def _fnv1a(data: bytes) -> int:
    value = 0xCBF29CE484222325
    for byte in data:
        value = (value ^ byte) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return value


def _pages(size: int) -> int:
    return -(-size // PAGE)


def _node(page: int, flags: int, count: int, size: int, parts: Iterable[bytes]) -> bytes:
    pages = _pages(size)
    return (_HEADER.pack(page, flags, count, pages - 1) + b"".join(parts)).ljust(pages * PAGE, b"\0")


def _leaf(page: int, items: list[tuple[bytes, bytes]], flags: int = 0) -> bytes:
    offset = len(items) * _LEAF_ELEMENT.size
    elements: list[bytes] = []
    data: list[bytes] = []
    size = _HEADER.size
    for number, (key, value) in enumerate(items):
        elements.append(_LEAF_ELEMENT.pack(flags, offset - number * _LEAF_ELEMENT.size, len(key), len(value)))
        data += (key, value)
        offset += len(key) + len(value)
        size += _LEAF_ELEMENT.size + len(key) + len(value)
    return _node(page, _LEAF, len(items), size, elements + data)


def _branch(page: int, children: list[tuple[bytes, int]]) -> bytes:
    offset = len(children) * _BRANCH_ELEMENT.size
    elements, keys = [], []
    for number, (key, child) in enumerate(children):
        elements.append(_BRANCH_ELEMENT.pack(offset - number * _BRANCH_ELEMENT.size, len(key), child))
        keys.append(key)
        offset += len(key)
    return _node(page, _BRANCH, len(children), _HEADER.size + offset, elements + keys)


class _Plan:
    """Which pages a bucket takes, known before its first byte is written."""

    def __init__(self) -> None:
        self.leaves: list[tuple[int, int]] = []
        """Elements and first page of each leaf."""
        self.branches: list[bytes] = []
        self.root = 0
        self._firsts: list[tuple[bytes, int]] = []
        self._count = self._size = 0
        self._first = b""

    def add(self, key: bytes, value: bytes, page: int) -> int:
        """Returns the page that the next leaf will have, `page` being that of the present one."""
        need = _LEAF_ELEMENT.size + len(key) + len(value)
        if self._count and self._size + need > LEAF_BYTES:
            page = self._close(page)
        if not self._count:
            self._first, self._size = key, _HEADER.size
        self._count += 1
        self._size += need
        return page

    def _close(self, page: int) -> int:
        self.leaves.append((self._count, page))
        self._firsts.append((self._first, page))
        taken = _pages(max(self._size, _HEADER.size))
        self._count = self._size = 0
        return page + taken

    def finish(self, page: int) -> int:
        """Lay the tree above the leaves; returns the first free page."""
        if self._count or not self.leaves:
            page = self._close(page)
        level, self._firsts = self._firsts, []
        while len(level) > 1:
            above: list[tuple[bytes, int]] = []
            for children in _grouped(level):
                node = _branch(page, children)
                above.append((children[0][0], page))
                self.branches.append(node)
                page += len(node) // PAGE
            level = above
        self.root = level[0][1]
        return page


def _grouped(level: list[tuple[bytes, int]]) -> Iterator[list[tuple[bytes, int]]]:
    """As many children as fit a page, but two at least: a tree of single children would never end."""
    group: list[tuple[bytes, int]] = []
    size = _HEADER.size
    for key, page in level:
        size += _BRANCH_ELEMENT.size + len(key)
        if size > PAGE and len(group) >= 2:
            yield group
            group, size = [], _HEADER.size + _BRANCH_ELEMENT.size + len(key)
        group.append((key, page))
    yield group


class Writer:
    """A database from buckets, each a function that gives its items in order of their keys, the same every time.

    `measure` to the end first, then `chunks`; both may be left for a while between two steps.
    """

    def __init__(self, buckets: Mapping[bytes, Callable[[], Items]]) -> None:
        self._buckets = dict(sorted(buckets.items()))
        self._plans: dict[bytes, _Plan] = {}
        self._root = b""
        self.size = 0

    def measure(self) -> Iterator[None]:
        page, steps = 3, 0
        for name, source in self._buckets.items():
            plan = self._plans[name] = _Plan()
            for key, value in source():
                page = plan.add(key, value, page)
                steps += 1
                if steps % _SLICE == 0:
                    yield
            page = plan.finish(page)
        roots = [(name, _BUCKET.pack(plan.root, 0)) for name, plan in self._plans.items()]
        self._root = _leaf(page, roots, _IS_BUCKET)
        self._root_page = page
        self.size = page * PAGE + len(self._root)

    def chunks(self) -> Iterator[bytes]:
        assert self._root, "measure() first"
        high_water = self.size // PAGE
        for number in range(2):
            fields = _META_FIELDS.pack(_MAGIC, _VERSION, PAGE, 0, self._root_page, 0, 2, high_water, number)
            meta = fields + _fnv1a(fields).to_bytes(8, "little")
            yield _node(number, _META, 0, PAGE, [meta])
        yield _node(2, _FREELIST, 0, PAGE, [])
        for name, source in self._buckets.items():
            plan = self._plans[name]
            items = iter(source())
            for count, page in plan.leaves:
                yield _leaf(page, [next(items) for _ in range(count)])
            yield from plan.branches
        yield self._root


class DatabaseError(ValueError):
    """The bytes are no database, or a damaged one."""


class Reader:
    """The database in a buffer (bytes or a memory map). Raises DatabaseError, also while it is iterated."""

    def __init__(self, data: bytes | memoryview) -> None:
        self._data = memoryview(data)
        metas = [meta for meta in map(self._meta, self._offsets_of_metas()) if meta is not None]
        if not metas:
            raise DatabaseError("it has no valid meta page")
        _, _, self._page_size, _, self._root, _, _, self._high_water, _ = max(metas, key=lambda meta: meta[8])
        if self._high_water * self._page_size > len(self._data):
            raise DatabaseError(f"it should have {self._high_water} pages, but is shorter")
        self._left = 2 * self._high_water + 64

    def _offsets_of_metas(self) -> Iterator[int]:
        """The second one lies a page behind the first, however long pages are where the file was written."""
        yield 0
        yield from (1 << shift for shift in range(10, 17))

    def _meta(self, offset: int) -> tuple[int, ...] | None:
        start = offset + _HEADER.size
        fields = bytes(self._data[start : start + _META_FIELDS.size])
        check = bytes(self._data[start + _META_FIELDS.size : start + _META_FIELDS.size + 8])
        if len(check) < 8:
            return None
        meta = _META_FIELDS.unpack(fields)
        if meta[:2] != (_MAGIC, _VERSION) or meta[2] == 0 or int.from_bytes(check, "little") != _fnv1a(fields):
            return None
        return meta

    def buckets(self) -> list[bytes]:
        return [name for name, _, flags in self._walk_page(self._root, 0) if flags & _IS_BUCKET]

    def items(self, bucket: bytes) -> Iterator[tuple[bytes, memoryview]]:
        """In order of the keys; nothing if there is no such bucket."""
        for name, value, flags in self._walk_page(self._root, 0):
            if name == bucket and flags & _IS_BUCKET:
                root = _BUCKET.unpack_from(value)[0]
                walk = self._walk_page(root, 0) if root else self._walk(value[_BUCKET.size :], 0)
                for key, found, _ in walk:
                    yield key, found

    def _walk_page(self, page: int, depth: int) -> Iterator[tuple[bytes, memoryview, int]]:
        self._left -= 1
        if not 1 < page < self._high_water or depth > _MAX_DEPTH or self._left < 0:
            raise DatabaseError(f"its tree leads to page {page}, which cannot be part of it")
        start = page * self._page_size
        pages = 1 + _HEADER.unpack_from(self._data, start)[3]
        return self._walk(self._data[start : start + pages * self._page_size], depth)

    def _walk(self, node: memoryview, depth: int) -> Iterator[tuple[bytes, memoryview, int]]:
        try:
            _, flags, count, _ = _HEADER.unpack_from(node)
            for number in range(count):
                at = _HEADER.size + number * 16
                if flags & _LEAF:
                    kind, offset, key_size, size = _LEAF_ELEMENT.unpack_from(node, at)
                    key = at + offset
                    if key + key_size + size > len(node):
                        raise DatabaseError("an element reaches beyond its page")
                    yield bytes(node[key : key + key_size]), node[key + key_size : key + key_size + size], kind
                elif flags & _BRANCH:
                    yield from self._walk_page(_BRANCH_ELEMENT.unpack_from(node, at)[2], depth + 1)
                else:
                    raise DatabaseError(f"a page of its tree has flags {flags:#x}")
        except struct.error:
            raise DatabaseError("a page of its tree is cut short") from None
