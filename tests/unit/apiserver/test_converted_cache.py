"""The cache of a version that a webhook converts: order, waiting, failing."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import orjson
import pytest

from apiserver.storage.cache import Change
from apiserver.storage.converted import BATCH, ConvertedCache
from apiserver.storage.index import Indexer


def value(name: str, version: str = "v1") -> bytes:
    return orjson.dumps({"kind": "Thing", "apiVersion": f"example.com/{version}", "metadata": {"name": name}})


class Webhook:
    """Answers when it is let, and can fail."""

    def __init__(self) -> None:
        self.free = asyncio.Event()
        self.calls: list[int] = []
        self.failure: Exception | None = None

    async def convert(self, values: Sequence[bytes]) -> list[bytes]:
        self.calls.append(len(values))
        await self.free.wait()
        if self.failure is not None:
            raise self.failure
        return [one.replace(b"/v1", b"/v2") for one in values]


class Given:
    def __init__(self) -> None:
        self.webhook = Webhook()
        self.given_up = 0
        self.cache = ConvertedCache("/registry/example.com/things/", Indexer("things"), self.webhook.convert, self.drop)
        self.heard: list[tuple[str, str]] = []
        self.cache.listen(self.hear)

    def drop(self) -> None:
        self.given_up += 1

    def hear(self, change: Change) -> None:
        self.heard.append((change.type, change.entry.name))


async def settle(cache: ConvertedCache, revision: int) -> None:
    while cache.at(revision) < revision:
        await cache.progress()


async def test_what_waits_for_the_webhook_is_not_claimed_to_be_there() -> None:
    given = Given()
    cache = given.cache
    cache.load([("a", value("a"), 3, 0)], 5, 0.0)
    cache.apply("b", value("b"), 6, 0, 0.0)
    assert (cache.loaded, cache.at(6)) == (False, 0)
    given.webhook.free.set()
    await settle(cache, 6)
    assert [entry.data for entry in cache.entries.values()] == [
        b'{"kind":"Thing","apiVersion":"example.com/v2","metadata":{"resourceVersion":"3","name":"a"}}',
        b'{"kind":"Thing","apiVersion":"example.com/v2","metadata":{"resourceVersion":"6","name":"b"}}',
    ]
    given.webhook.free.clear()
    cache.apply("c", value("c"), 9, 0, 0.0)
    assert (cache.at(9), cache.at(20), cache.at(4)) == (8, 8, 4)


async def test_events_are_converted_together_and_applied_in_order() -> None:
    given = Given()
    cache = given.cache
    cache.load([], 1, 0.0)
    await asyncio.sleep(0)
    for number in range(BATCH + 10):
        cache.apply("a", value("a"), 2 + number, 0, 0.0)
    cache.apply("a", None, 300, 0, 0.0)
    given.webhook.free.set()
    await settle(cache, 300)
    assert given.webhook.calls == [BATCH, 10]
    assert (given.heard[0], given.heard[-1], len(given.heard)) == (("ADDED", "a"), ("DELETED", "a"), BATCH + 11)


async def test_whoever_waits_hears_why_it_failed() -> None:
    given = Given()
    closed: list[bool] = []
    given.cache.resets.append(lambda: closed.append(True))
    given.cache.load([("a", value("a"), 3, 0)], 5, 0.0)
    given.webhook.failure = ValueError("no way")
    waiting = asyncio.ensure_future(settle(given.cache, 5))
    given.webhook.free.set()
    with pytest.raises(ValueError, match="no way"):
        await waiting
    assert (given.given_up, closed) == (1, [True])
    with pytest.raises(ValueError, match="no way"):
        await given.cache.progress()
