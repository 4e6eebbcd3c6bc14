"""Node state in columns: one row a node, one array an attribute, so that a filter looks at all nodes at once.

Rows are reused after a node leaves; `live` masks the empty ones. Strings are interned to small numbers: a label key
owns a column of value numbers (-1: the node lacks the key). Only the cache writes; plugins read.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
import numpy.typing as npt

from apimachinery.placement import Taint
from scheduler import requests
from scheduler.views import Node

Mask = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]
Scores = npt.NDArray[np.float64]

ABSENT = -1
GROWTH = 64


class Interner:
    """Strings to small numbers, never forgotten: the vocabulary of a cluster is small."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}
        self.words: list[str] = []

    def number(self, word: str) -> int:
        known = self._numbers.get(word)
        if known is None:
            known = self._numbers[word] = len(self.words)
            self.words.append(word)
        return known

    def find(self, word: str) -> int:
        """-2 for a word never seen, which equals no column entry, ABSENT included."""
        return self._numbers.get(word, -2)


class NodeTable:
    def __init__(self) -> None:
        self.names: list[str] = []
        self.rows: dict[str, int] = {}
        self.nodes: list[Node | None] = []
        self._free: list[int] = []
        self.live: Mask = np.zeros(0, dtype=np.bool_)
        self.unschedulable: Mask = np.zeros(0, dtype=np.bool_)
        self.allocatable: dict[str, Ints] = {}
        self.requested: dict[str, Ints] = {}
        self.weighed: dict[str, Ints] = {}  # requests with a weight for unnamed ones, for scores
        self.pod_count: Ints = np.zeros(0, dtype=np.int64)
        self.labels: dict[str, Ints] = {}
        self.values = Interner()
        self.taint_sets: Ints = np.zeros(0, dtype=np.int64)  # row -> number of a distinct list of taints
        self.taint_lists: list[tuple[Taint, ...]] = [()]
        self._taint_numbers: dict[tuple[Taint, ...], int] = {(): 0}
        self.host_ports: dict[int, set[tuple[str, str, int]]] = {}

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def size(self) -> int:
        """Rows including empty ones: the length of every column."""
        return len(self.names)

    # -- nodes ------------------------------------------------------------------------------------------------------

    def set_node(self, node: Node) -> int:
        name = node.metadata.name
        row = self.rows.get(name)
        if row is None:
            row = self._new_row(name)
        self.nodes[row] = node
        self.live[row] = True
        self.unschedulable[row] = node.spec.unschedulable
        amounts = requests.counted(node.status.allocatable)
        for resource in {*amounts, *self.allocatable}:
            self.column(self.allocatable, resource)[row] = amounts.get(resource, 0)
        labels = node.metadata.labels
        for key in {*labels, *self.labels}:
            column = self.labels.get(key)
            if column is None:
                column = self.labels[key] = np.full(self.size, ABSENT, dtype=np.int64)
            column[row] = self.values.number(labels[key]) if key in labels else ABSENT
        self.taint_sets[row] = self._taint_number(tuple(node.spec.taints))
        return row

    def remove_node(self, name: str) -> None:
        row = self.rows.pop(name)
        self.live[row] = False
        self.nodes[row] = None
        self.names[row] = ""
        self._free.append(row)
        for table in (self.allocatable, self.requested, self.weighed):
            for column in table.values():
                column[row] = 0
        self.pod_count[row] = 0
        for column in self.labels.values():
            column[row] = ABSENT
        self.taint_sets[row] = 0
        self.host_ports.pop(row, None)

    def _new_row(self, name: str) -> int:
        if not self._free:
            self._grow()
        row = self._free.pop()
        self.rows[name] = row
        self.names[row] = name
        return row

    def _grow(self) -> None:
        old = self.size
        grow = max(GROWTH, old)
        self.names += [""] * grow
        self.nodes += [None] * grow
        self._free += range(old + grow - 1, old - 1, -1)
        more = np.zeros(grow, dtype=np.int64)
        no = np.zeros(grow, dtype=np.bool_)
        self.live = np.concatenate([self.live, no])
        self.unschedulable = np.concatenate([self.unschedulable, no])
        self.pod_count = np.concatenate([self.pod_count, more])
        self.taint_sets = np.concatenate([self.taint_sets, more])
        for table in (self.allocatable, self.requested, self.weighed):
            for name, column in table.items():
                table[name] = np.concatenate([column, more])
        for name, column in self.labels.items():
            self.labels[name] = np.concatenate([column, np.full(grow, ABSENT, dtype=np.int64)])

    def _taint_number(self, taints: tuple[Taint, ...]) -> int:
        number = self._taint_numbers.get(taints)
        if number is None:
            number = self._taint_numbers[taints] = len(self.taint_lists)
            self.taint_lists.append(taints)
        return number

    # -- what pods use ----------------------------------------------------------------------------------------------

    def use(
        self,
        row: int,
        amounts: Mapping[str, int],
        weighed: Mapping[str, int],
        ports: Iterable[tuple[str, str, int]],
        sign: int,
    ) -> None:
        """Count a pod in (`sign` 1) or out (-1)."""
        assert sign in (1, -1), sign
        for table, part in ((self.requested, amounts), (self.weighed, weighed)):
            for resource, amount in part.items():
                self.column(table, resource)[row] += sign * amount
        self.pod_count[row] += sign
        taken = self.host_ports.setdefault(row, set())
        for port in ports:
            (taken.add if sign > 0 else taken.discard)(port)

    def column(self, table: dict[str, Ints], resource: str) -> Ints:
        found = table.get(resource)
        if found is None:
            found = table[resource] = np.zeros(self.size, dtype=np.int64)
        return found

    def label(self, key: str) -> Ints:
        """The column of a label key; all ABSENT when no node carries it."""
        found = self.labels.get(key)
        return np.full(self.size, ABSENT, dtype=np.int64) if found is None else found
