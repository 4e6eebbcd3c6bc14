"""Whom a change concerns: watchers who select something exact hear of what has, or had, just that."""

from __future__ import annotations

from apiserver.storage import encoding
from apiserver.storage.cache import Entry, Hint, ResourceCache
from apiserver.storage.index import Indexer
from apiserver.storage.watchers import Group, Watcher, WatchHub

MANY = 1000


def value(name: str, namespace: str = "a", **labels: str) -> bytes:
    metadata = {"name": name, "namespace": namespace, "labels": labels}
    return encoding.for_storage({"kind": "ConfigMap", "apiVersion": "v1", "metadata": metadata})


def render(kind: str, entry: Entry, first: bool) -> bytes:
    del first
    return f"{kind} {entry.name}; ".encode()


class Bed:
    def __init__(self) -> None:
        self.cache = ResourceCache("/registry/configmaps/", Indexer("configmaps"))
        self.cache.load([], 1, 0.0)
        self.hub = WatchHub(self.cache)
        self.tried = 0
        self._revision = 1

    def watch(self, hint: Hint | None) -> Watcher:
        def matches(entry: Entry) -> bool:
            self.tried += 1
            return hint is None or entry.hinted(hint[0], hint[1]) == hint[2]

        watcher = Watcher()
        self.hub.join(hint, lambda: Group(matches, render), watcher, hint)
        return watcher

    def write(self, name: str, namespace: str = "a", **labels: str) -> None:
        self._revision += 1
        self.cache.apply(f"{namespace}/{name}", value(name, namespace, **labels), self._revision, 0, 0.0)

    def remove(self, name: str) -> None:
        self._revision += 1
        self.cache.apply(f"a/{name}", None, self._revision, 0, 0.0)


def test_a_thousand_selectors_cost_as_little_as_one() -> None:
    bed = Bed()
    watchers = [bed.watch(("label", "app", str(number))) for number in range(MANY)]
    bed.write("x", app="7")
    bed.write("y")
    bed.write("x", app="8")
    assert bed.tried < 10
    assert [number for number, one in enumerate(watchers) if one.take()] == [7, 8]


def test_a_selection_is_entered_changed_and_left() -> None:
    bed = Bed()
    red, blue, everything = bed.watch(("label", "c", "red")), bed.watch(("label", "c", "blue")), bed.watch(None)
    here = bed.watch(("field", "metadata.namespace", "a"))
    bed.write("x", c="red")
    bed.write("x", c="red", more="1")
    bed.write("x", c="blue")
    bed.write("x")
    bed.write("x", c="blue")
    bed.remove("x")
    bed.write("z", "b", c="red")
    assert red.take() == b"ADDED x; MODIFIED x; DELETED x; ADDED z; "
    assert blue.take() == b"ADDED x; DELETED x; ADDED x; DELETED x; "
    assert here.take() == b"ADDED x; " + b"MODIFIED x; " * 4 + b"DELETED x; "
    assert everything.take() == b"ADDED x; " + b"MODIFIED x; " * 4 + b"DELETED x; ADDED z; "


def test_nothing_is_left_of_who_leaves() -> None:
    bed = Bed()
    hints: list[Hint | None] = [("label", "c", "red"), ("label", "c", "blue"), ("field", "metadata.name", "x"), None]
    watchers = [bed.watch(hint) for hint in hints]
    assert bed.hub.watchers == 4
    for hint, watcher in zip(hints, watchers, strict=True):
        bed.hub.leave(hint, watcher)
        bed.hub.leave(hint, watcher)
    bed.write("x", c="red")
    assert (bed.hub.watchers, bed.tried) == (0, 0)
    again = bed.watch(hints[0])
    bed.write("y", c="red")
    bed.hub.close()
    assert again.closed
    assert again.take() == b"ADDED y; "
    bed.hub.leave(hints[0], again)
    assert bed.hub.watchers == 0
