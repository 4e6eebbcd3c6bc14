"""Lists: which revision a request may be answered from, which entries belong to it, where the next page begins."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import orjson

from apimachinery import errors
from apiserver.storage import encoding
from apiserver.storage.cache import Entry, Hint, ResourceCache
from apiserver.storage.feed import Feed, too_large
from component_base.rpc import Code, RpcError
from kubeclient.etcd3 import EtcdClient, KeyValue, prefix_end

EXACT, NOT_OLDER_THAN = "Exact", "NotOlderThan"
_COMPACTED = "The resourceVersion for the provided list is too old."
_EXPIRED = (
    "The provided continue parameter is too old to display a consistent list result. You can start a new list without "
    "the continue parameter, or use the continue token in this response to retrieve the remainder of the results. "
    "Continuing with the provided token results in an inconsistent list - objects that were created, modified, or "
    "deleted between the time the first chunk was returned and now may show up in the list."
)


class Token(NamedTuple):
    """`revision` -1: whatever is newest (the way on after a token has expired)."""

    revision: int
    start: str

    def text(self) -> str:
        body = orjson.dumps({"v": "meta.k8s.io/v1", "rv": self.revision, "start": self.start})
        return base64.urlsafe_b64encode(body).rstrip(b"=").decode()


def parse_token(text: str) -> Token:
    """Raises StatusError 400."""
    try:
        body = orjson.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
        version, revision, start = body["v"], body["rv"], body["start"]
    except (ValueError, KeyError, TypeError, binascii.Error):
        raise errors.bad_request("continue key is not valid: it is none that a list has given") from None
    if version != "meta.k8s.io/v1":
        raise errors.bad_request("continue key is not valid: server does not recognize this encoded version")
    if not isinstance(revision, int) or not isinstance(start, str) or revision == 0 or not start:
        raise errors.bad_request("continue key is not valid: incorrect encoded start resourceVersion")
    if ".." in start.split("/"):
        raise errors.bad_request("continue key is not valid: the start key is not a valid key")
    return Token(revision, start)


class TokenExpired(errors.StatusError):
    """Carries the token by which the rest can be had, though not of the same revision."""

    def __init__(self, onward: Token) -> None:
        super().__init__(410, "Expired", _EXPIRED)
        self._onward = onward

    def body(self) -> dict[str, Any]:
        return {**super().body(), "metadata": {"continue": self._onward.text()}}


@dataclass(frozen=True, slots=True)
class ListQuery:
    namespace: str = ""
    limit: int = 0
    token: Token | None = None
    revision: int | None = None
    """None: newest; 0: any."""
    match: str = ""
    matches: Callable[[Entry], bool] | None = None
    """None: everything."""
    hint: Hint | None = None
    """Something that `matches` demands, by which candidates are found faster."""


@dataclass(frozen=True, slots=True)
class Page:
    entries: list[Entry]
    revision: int
    token: Token | None = None
    remaining: int | None = None
    known_size: int | None = None

    @property
    def size(self) -> int:
        """Bytes of all entries."""
        return sum([len(entry.data) for entry in self.entries]) if self.known_size is None else self.known_size


class Lister:
    def __init__(self, client: EtcdClient, feed: Feed) -> None:
        self._client = client
        self._feed = feed

    async def list(self, cache: ResourceCache, query: ListQuery) -> Page:
        if query.token is not None:
            return await self._continue(cache, query, query.token)
        if query.revision is None:
            await self._feed.fresh(cache)
        elif query.match == EXACT or (not query.match and query.limit and query.revision):
            return await self._exact(cache, query, query.revision)
        elif query.revision:
            await self._feed.reached(query.revision, cache)
        return page(cache, query, "", cache.at(self._feed.revision))

    async def _exact(self, cache: ResourceCache, query: ListQuery, revision: int) -> Page:
        await self._feed.reached(revision, cache)
        if cache.revision <= revision:
            await self._kept(cache, query, revision)
            return page(cache, query, "", revision)
        return await self._stored(cache, query, "", revision)

    async def _continue(self, cache: ResourceCache, query: ListQuery, token: Token) -> Page:
        after = token.start.removesuffix("\0")
        if query.namespace and not after.startswith(f"{query.namespace}/"):
            after = f"{query.namespace}/{after}"
        if token.revision < 0:
            await self._feed.fresh(cache)
            return page(cache, query, after, cache.at(self._feed.revision))
        await self._feed.reached(token.revision, cache)
        if cache.revision <= token.revision:
            await self._kept(cache, query, token.revision)
            return page(cache, query, after, token.revision)
        return await self._stored(cache, query, after, token.revision)

    async def _kept(self, cache: ResourceCache, query: ListQuery, revision: int) -> None:
        """A revision ends with its compaction, also where nothing has changed since: what a client is told must not
        depend on what is remembered here. Raises StatusError 410."""
        try:
            await self._client.range(cache.prefix.encode(), revision=revision, count_only=True)
        except RpcError as error:
            raise _past(error, query, revision, self._feed.revision) from None

    async def _stored(self, cache: ResourceCache, query: ListQuery, after: str, revision: int) -> Page:
        """From the store itself, as of a past revision."""
        start, end = _bounds(cache.prefix, query.namespace, after)
        found: list[Entry] = []
        step = max(query.limit, 500) if query.matches else (query.limit or 500)
        while True:
            try:
                result = await self._client.range(start, end, limit=step, revision=revision)
            except RpcError as error:
                raise _past(error, query, revision, self._feed.revision) from None
            values = await cache.native([kv.value for kv in result.kvs])
            for position, (kv, value) in enumerate(zip(result.kvs, values, strict=True)):
                entry = _entry(cache, kv, value)
                if query.matches is None or query.matches(entry):
                    found.append(entry)
                if query.limit and len(found) == query.limit and (position + 1 < len(result.kvs) or result.more):
                    left = None if query.matches else result.count - position - 1
                    return Page(found, revision, Token(revision, _start(query, entry)), left)
            if not result.more:
                return Page(found, revision)
            start = result.kvs[-1].key + b"\0"


def page(cache: ResourceCache, query: ListQuery, after: str, revision: int) -> Page:
    """From the cache as it is."""
    matches = query.matches
    if matches is None and not query.limit and not after:
        return Page(cache.whole(query.namespace), revision, known_size=cache.size(query.namespace))
    if query.hint is not None:
        entries = cache.hinted(query.namespace, after, query.hint)
    else:
        entries = cache.within(query.namespace, after)
    if not query.limit:
        return Page([e for e in entries if matches is None or matches(e)], revision)
    found: list[Entry] = []
    for entry in entries:
        if matches is not None and not matches(entry):
            continue
        if len(found) == query.limit:
            rest = None if matches else 1 + sum(1 for _ in entries)
            return Page(found, revision, Token(revision, _start(query, found[-1])), rest)
        found.append(entry)
    return Page(found, revision)


def _start(query: ListQuery, last: Entry) -> str:
    """Tokens name keys relative to what is listed, the way upstream's do."""
    return f"{last.key.removeprefix(query.namespace + '/') if query.namespace else last.key}\0"


def _bounds(prefix: str, namespace: str, after: str) -> tuple[bytes, bytes]:
    whole = f"{prefix}{namespace}/" if namespace else prefix
    start = f"{prefix}{after}\0" if after else whole
    return start.encode(), prefix_end(whole.encode())


def _entry(cache: ResourceCache, kv: KeyValue, value: bytes) -> Entry:
    key = kv.key.decode()[len(cache.prefix) :]
    data = encoding.with_revision(value, kv.mod_revision)
    return Entry(key, data, kv.mod_revision, cache.indexer.summary(value), kv.lease)


def _past(error: RpcError, query: ListQuery, revision: int, current: int) -> Exception:
    """The store's refusal of a revision in the API's words."""
    if error.code is not Code.OUT_OF_RANGE:
        return error
    if "future" in error.message:
        return too_large(revision, current)
    if query.token is None:
        return errors.expired(_COMPACTED)
    return TokenExpired(Token(-1, query.token.start))
