"""The cache, its window and its watchers, without a store."""

from __future__ import annotations

import asyncio
import gc
from typing import Any

import orjson
import pytest

from apimachinery import errors
from apiserver.storage import cache as caching
from apiserver.storage import encoding
from apiserver.storage.cache import ADDED, DELETED, MODIFIED, Change, Entry, ResourceCache
from apiserver.storage.index import Indexer
from apiserver.storage.listing import ListQuery, Token, page, parse_token
from apiserver.storage.watchers import GATHER_SECONDS, Group, Watcher, WatchHub


def value(name: str, namespace: str = "a", **labels: str) -> bytes:
    metadata = {"name": name, "namespace": namespace, "labels": labels}
    return encoding.for_storage({"kind": "ConfigMap", "apiVersion": "v1", "metadata": metadata})


def loaded(*names: str) -> ResourceCache:
    made = ResourceCache("/registry/configmaps/", Indexer("configmaps"))
    made.load([(f"a/{name}", value(name), number, 0) for number, name in enumerate(names, 1)], 10, 0.0)
    return made


def render(kind: str, entry: Entry, first: bool) -> bytes:
    return f"{kind}:{entry.name}@{entry.revision}{'!' if first else ''} ".encode()


def test_a_revision_is_spliced_into_stored_bytes() -> None:
    stored = value("x")
    assert b"resourceVersion" not in stored
    seen = orjson.loads(encoding.with_revision(stored, 7))
    assert seen["metadata"] == {"resourceVersion": "7", "name": "x", "namespace": "a", "labels": {}}
    later = encoding.replace_revision(encoding.with_revision(stored, 7), 123)
    assert later == encoding.with_revision(stored, 123)


@pytest.mark.parametrize(
    "stored",
    [
        b'{"apiVersion":"v1","kind":"X","metadata":{"name":"n"}}',
        b'{"kind":"X","apiVersion":"v1","metadata":{}}',
        b'{"metadata":{"name":"n"},"spec":{"metadata":{"name":"inner"}},"kind":"X","apiVersion":"v1"}',
        b'{"kind":"X","spec":{"metadata":{"name":"inner"}},"apiVersion":"v1","metadata":{"name":"n"}}',
    ],
)
def test_values_of_other_writers_are_understood(stored: bytes) -> None:
    seen = orjson.loads(encoding.with_revision(stored, 5))
    assert seen["metadata"]["resourceVersion"] == "5"
    assert seen | {"metadata": 0} == orjson.loads(stored) | {"metadata": 0}


def test_a_cache_follows_events() -> None:
    made = loaded("x")
    heard: list[Change] = []
    made.listen(heard.append)
    made.apply("a/y", value("y"), 11, 0, 0.0)
    made.apply("a/y", value("y", l="1"), 12, 0, 0.0)
    made.apply("a/y", None, 13, 0, 0.0)
    made.apply("a/none", None, 14, 0, 0.0)
    assert [change.type for change in heard] == [ADDED, MODIFIED, DELETED]
    assert orjson.loads(heard[2].entry.data)["metadata"]["resourceVersion"] == "13"
    assert heard[2].entry.labels == {"l": "1"}
    assert list(made.entries) == ["a/x"]
    assert made.revision == 13


def test_events_before_the_load_wait_for_it() -> None:
    made = ResourceCache("/registry/configmaps/", Indexer("configmaps"))
    made.apply("a/old", value("old"), 3, 0, 0.0)
    made.apply("a/new", value("new"), 6, 0, 0.0)
    made.load([("a/old", value("old"), 3, 0)], 5, 0.0)
    assert {key: entry.revision for key, entry in made.entries.items()} == {"a/old": 3, "a/new": 6}


def test_loading_again_tells_the_differences_and_ends_watches() -> None:
    made = loaded("x", "y")
    hub, watcher = WatchHub(made), Watcher()
    hub.join("all", lambda: Group(lambda entry: True, render), watcher)
    heard: list[Change] = []
    made.listen(heard.append)
    made.load([("a/x", value("x"), 1, 0), ("a/z", value("z"), 20, 0)], 21, 0.0)
    assert [(change.type, change.entry.name) for change in heard] == [(ADDED, "z"), (DELETED, "y")]
    assert watcher.closed
    assert made.since(20) is None


def test_the_window_forgets_what_is_old(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(caching, "WINDOW_MINIMUM", 2)
    made = loaded("x")
    for number in range(5):
        made.apply("a/x", value("x", n=str(number)), 11 + number, 0, number * 30.0)
    assert made.since(9) is None
    assert made.floor == 12
    assert [change.revision for change in made.since(13) or ()] == [14, 15]
    assert made.since(15) == []


def test_namespaces_are_told_apart() -> None:
    made = ResourceCache("/registry/configmaps/", Indexer("configmaps"))
    made.load([(f"{ns}/x", value("x", ns), 1, 0) for ns in ("a", "a-b", "aa", "b")], 5, 0.0)
    assert [entry.namespace for entry in made.within("a")] == ["a"]
    assert [entry.namespace for entry in made.within("")] == ["a-b", "a", "aa", "b"]  # as the store orders its keys


def test_pages_continue_behind_the_last_key() -> None:
    made = loaded(*"vwxyz")
    first = page(made, ListQuery("a", limit=2), "", 10)
    assert [entry.name for entry in first.entries] == ["v", "w"]
    assert first.remaining == 3
    assert first.token is not None
    assert parse_token(first.token.text()) == Token(10, "w\0")
    second = page(made, ListQuery("a", limit=9), "a/w", 10)
    assert [entry.name for entry in second.entries] == ["x", "y", "z"]
    assert second.token is None
    picked = page(made, ListQuery("a", limit=1, matches=lambda entry: entry.name == "z"), "", 10)
    assert (picked.token, picked.remaining) == (None, None)


@pytest.mark.parametrize("text", ["", "!", "e30", Token(5, "../x\0").text(), Token(0, "x").text()])
def test_bad_tokens_are_refused(text: str) -> None:
    with pytest.raises(errors.StatusError) as refused:
        parse_token(text)
    assert refused.value.code == 400


def test_a_view_is_rendered_once_for_all_its_watchers() -> None:
    made = loaded()
    hub = WatchHub(made)
    calls: list[str] = []

    def counting(kind: str, entry: Entry, first: bool) -> bytes:
        calls.append(kind)
        return render(kind, entry, first)

    watchers = [Watcher() for _ in range(3)]
    for watcher in watchers:
        watcher.first = False
        hub.join("view", lambda: Group(lambda entry: True, counting), watcher)
    made.apply("a/x", value("x"), 11, 0, 0.0)
    assert calls == [ADDED]
    pieces = {watcher.take() for watcher in watchers}
    assert pieces == {b"ADDED:x@11 "}
    for watcher in watchers:
        hub.leave("view", watcher)
    assert hub.watchers == 0
    made.apply("a/x", None, 12, 0, 0.0)
    assert calls == [ADDED]


def test_selections_see_objects_come_and_go() -> None:
    made = loaded()
    hub, watcher = WatchHub(made), Watcher()
    hub.join("l", lambda: Group(lambda entry: entry.labels.get("l") == "1", render), watcher)
    steps: list[dict[str, Any]] = [{}, {"l": "1"}, {"l": "1", "m": "2"}, {"l": "2"}]
    for number, labels in enumerate(steps):
        made.apply("a/x", value("x", **labels), 11 + number, 0, 0.0)
    made.apply("a/x", None, 20, 0, 0.0)
    assert watcher.take() == b"ADDED:x@12! MODIFIED:x@13 DELETED:x@14 "


def test_slow_watchers_are_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("apiserver.storage.watchers.MAXIMUM_BACKLOG_EVENTS", 3)
    made = loaded()
    hub, watcher = WatchHub(made), Watcher()
    hub.join("all", lambda: Group(lambda entry: True, render), watcher)
    for number in range(5):
        made.apply("a/x", value("x", n=str(number)), 11 + number, 0, 0.0)
    assert watcher.overflowed
    assert watcher.closed
    assert watcher.take() == b""


@pytest.mark.looptime(True)
async def test_a_single_change_is_sent_at_once_and_a_stream_of_them_gathers() -> None:
    loop, watcher = asyncio.get_running_loop(), Watcher()
    began = loop.time()

    async def sent() -> tuple[float, bytes]:
        assert await watcher.wait(60.0)
        data = watcher.take()
        watcher.rest()
        return round((loop.time() - began) / GATHER_SECONDS, 3), data

    loop.call_later(GATHER_SECONDS * 3, watcher.push, b"a")
    assert await sent() == (3, b"a")
    for part in range(1, 10):
        loop.call_later(GATHER_SECONDS * part / 10, watcher.push, b"%d" % part)
    assert await sent() == (4, b"123456789")
    watcher.push(b"b")
    assert await sent() == (5, b"b")
    loop.call_later(GATHER_SECONDS / 2, watcher.close)
    assert await watcher.wait(60.0)
    assert loop.time() - began < GATHER_SECONDS * 5.9


async def test_a_watcher_wakes_for_events_and_for_time() -> None:
    watcher = Watcher()
    assert not await watcher.wait(0.01)
    asyncio.get_running_loop().call_later(0.01, watcher.push, b"x")
    assert await watcher.wait(5)
    assert watcher.take() == b"x"
    asyncio.get_running_loop().call_later(0.01, watcher.close)
    assert await watcher.wait(5)


def test_equal_labels_and_fields_lie_in_memory_once() -> None:
    indexer = Indexer("pods")

    def pod(name: str, app: str) -> bytes:
        return orjson.dumps({"metadata": {"name": name, "namespace": "n", "labels": {"app": app}}})

    first, second, other = (indexer.summary(pod(*one)) for one in (("p", "x"), ("q", "x"), ("r", "y")))
    assert first.labels is second.labels
    assert first.fields is second.fields
    assert (first.labels, other.labels) == ({"app": "x"}, {"app": "y"})
    assert (first.name, second.name) == ("p", "q")
    for number in range(2000):
        assert indexer.summary(pod("p", f"a-{number}")).labels == {"app": f"a-{number}"}
    assert len(indexer._tables) <= 1000


def test_fields_by_kind() -> None:
    pod = {
        "metadata": {"name": "p", "namespace": "n"},
        "spec": {"nodeName": "n1", "hostNetwork": True},
        "status": {"podIPs": [{"ip": "10.0.0.9"}]},
    }
    summary = Indexer("pods").summary(orjson.dumps(pod))
    assert summary.fields["spec.nodeName"] == "n1"
    assert summary.fields["spec.hostNetwork"] == "true"
    assert summary.fields["status.podIP"] == "10.0.0.9"
    assert Entry("a/p", b"{}", 1, summary).field("metadata.name") == "p"
    node = Indexer("nodes").summary(orjson.dumps({"metadata": {"name": "n"}, "spec": {"unschedulable": True}}))
    assert node.fields["spec.unschedulable"] == "true"
    assert "involvedObject.uid" in Indexer("events").selectable
    assert Indexer("configmaps").selectable == {"metadata.name", "metadata.namespace"}
    custom = Indexer("things.example.com", ("spec.size",))
    assert custom.summary(b'{"metadata":{"name":"t"},"spec":{"size":3}}').fields["spec.size"] == "3"


def test_exact_demands_are_looked_up() -> None:
    made = loaded()
    for number in range(6):
        made.apply(f"a/x{number}", value(f"x{number}", l=str(number % 2)), 11 + number, 0, 0.0)
    hint = ("label", "l", "1")
    assert [entry.name for entry in made.hinted("a", "", hint)] == ["x1", "x3", "x5"]
    made.apply("a/x3", value("x3", l="0"), 20, 0, 0.0)
    made.apply("a/x5", None, 21, 0, 0.0)
    made.apply("a/x6", value("x6", l="1"), 22, 0, 0.0)
    assert [entry.name for entry in made.hinted("a", "", hint)] == ["x1", "x6"]
    assert [entry.name for entry in made.hinted("", "a/x1", hint)] == ["x6"]
    assert list(made.hinted("b", "", hint)) == []
    assert [entry.name for entry in made.hinted("a", "", ("field", "metadata.name", "x1"))] == ["x1"]


def test_what_is_derived_goes_with_a_change() -> None:
    made = loaded("x")
    before = made.whole("a")
    assert made.whole("a") is before
    assert made.size("a") == len(before[0].data)
    made.apply("a/y", value("y"), 11, 0, 0.0)
    assert len(made.whole("a")) == 2
    assert made.size("a") == sum(len(entry.data) for entry in made.whole("a")) > len(before[0].data)


def test_a_page_read_again_keeps_what_has_not_changed() -> None:
    made = loaded("x", "y")
    kept = made.get("a", "x")
    page = [("a/x", value("x"), 1, 0), ("a/y", value("y", l="new"), 12, 0)]
    heard: list[str] = []
    made.listen(lambda change: heard.append(f"{change.type} {change.entry.name}"))
    made.load(made.read(page), 12, 0.0)
    assert made.get("a", "x") is kept
    assert heard == ["MODIFIED y"]
    assert [entry.name for entry in made.within("", "a/x")] == ["y"]


def test_the_collector_has_nothing_to_look_at() -> None:
    made = loaded("x")
    made.apply("a/y", value("y", l="1"), 11, 0, 0.0)
    entry = made.get("a", "y")
    assert entry is not None
    assert entry.shared()["metadata"]["name"] == "y"
    tracked = [one for one in (entry, entry.summary, made.changes[0]) if gc.is_tracked(one)]
    assert tracked == []
