"""The scheduler's picture of the cluster: node columns plus the pods counted into them.

A pod just decided is *assumed*: counted before the watch confirms it, so that the next decision sees it. It stays
counted until the watch shows it bound, or `forget` takes it out because binding failed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from scheduler.columns import NodeTable
from scheduler.pod_info import PodInfo
from scheduler.views import Node


@dataclass(frozen=True, slots=True)
class Nomination:
    """Room is being made for `pod` on `node`: `victims` (uids) were told to go."""

    node: str
    pod: PodInfo
    victims: frozenset[str] = frozenset()


@dataclass(slots=True)
class Cache:
    table: NodeTable = field(default_factory=NodeTable)
    placed: dict[str, tuple[str, PodInfo]] = field(default_factory=dict)  # pod uid -> (node name, pod)
    assumed: set[str] = field(default_factory=set)  # uids whose binding the watch has not shown yet
    on_node: dict[str, dict[str, PodInfo]] = field(default_factory=dict)  # node name -> uid -> pod; also unknown nodes
    nominated: dict[str, Nomination] = field(default_factory=dict)  # by the uid of a pod that has no node yet

    def set_node(self, node: Node) -> None:
        name = node.metadata.name
        known = name in self.table.rows
        self.table.set_node(node)
        if not known:
            # Pods may have been seen on the node before the node itself: the watches are not ordered.
            for pod in self.on_node.get(name, {}).values():
                self._count(name, pod, 1)

    def remove_node(self, name: str) -> None:
        if name in self.table.rows:
            self.table.remove_node(name)

    def set_pod(self, pod: PodInfo) -> None:
        """A bound pod as the watch shows it; the watch overrules an assumption."""
        node = pod.pod.spec.nodeName
        assert node, f"{pod.key} is not bound"
        self.assumed.discard(pod.uid)
        if pod.pod.is_terminal:
            self.remove_pod(pod.uid)
            return
        before = self.placed.get(pod.uid)
        if before is not None and before[0] == node and before[1].requests == pod.requests:
            self.placed[pod.uid] = (node, pod)
            self.on_node[node][pod.uid] = pod
            return
        self.remove_pod(pod.uid)
        self._place(node, pod)

    def assume(self, pod: PodInfo, node: str) -> None:
        assert pod.uid not in self.placed, f"{pod.key} is placed already"
        self._place(node, pod)
        self.assumed.add(pod.uid)

    @contextmanager
    def nominated_counted(self, pod: PodInfo) -> Iterator[None]:
        """For decisions about `pod`: the room made for others that are at least as important is theirs."""
        counted = [
            other.pod.uid
            for uid, other in self.nominated.items()
            if uid != pod.uid and uid not in self.placed and other.pod.priority >= pod.priority
        ]
        for uid in counted:
            self._place(self.nominated[uid].node, self.nominated[uid].pod)
        try:
            yield
        finally:
            for uid in counted:
                self.remove_pod(uid)

    def forget(self, uid: str) -> None:
        """Take an assumption back; no effect when the watch has confirmed it meanwhile."""
        if uid in self.assumed:
            self.remove_pod(uid)

    def remove_pod(self, uid: str) -> None:
        self.assumed.discard(uid)
        gone = self.placed.pop(uid, None)
        if gone is None:
            return
        node, pod = gone
        group = self.on_node[node]
        del group[uid]
        if not group:
            del self.on_node[node]
        self._count(node, pod, -1)

    def pods(self) -> Iterable[tuple[str, PodInfo]]:
        return self.placed.values()

    def _place(self, node: str, pod: PodInfo) -> None:
        self.placed[pod.uid] = (node, pod)
        self.on_node.setdefault(node, {})[pod.uid] = pod
        self._count(node, pod, 1)

    def _count(self, node: str, pod: PodInfo, sign: int) -> None:
        row = self.table.rows.get(node)
        if row is not None:
            self.table.use(row, pod.requests, pod.weighed, pod.host_ports, sign)
