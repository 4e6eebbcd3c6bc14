"""A local copy of one resource collection, kept current by list and watch, as typed views.

What it promises (as client-go's SharedInformer): the copy is a state the collection once had, for each object in
order, and becomes current unless the apiserver stays away; nothing is promised about the order between objects.
Handlers run in the loop's thread between two steps of the copy, must be quick, and must not change what they are given.
After `synced` is set the copy has been complete once.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Generic, TypeVar

import httpx
import msgspec

from apimachinery.errors import StatusError
from component_base.clock import Clock
from component_base.rng import Rng, system_rng
from kubeclient.rest import WATCH_SECONDS, RestClient, WatchEvent, refusal

log = logging.getLogger(__name__)
V = TypeVar("V")
Handler = Callable[[V | None, V | None], None]
"""(old, new): old is None for what is new, new is None for what is gone."""
Index = Callable[[V], Iterable[str]]

METADATA = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
METADATA_LIST = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
FIRST_DELAY = 0.5
MAX_DELAY = 30.0


class _Meta(msgspec.Struct):
    name: str = ""
    namespace: str = ""
    resourceVersion: str = ""
    annotations: dict[str, str] | None = None


class _Head(msgspec.Struct):
    metadata: _Meta


class _List(msgspec.Struct):
    metadata: _Meta
    items: list[msgspec.Raw] | None = None


_head = msgspec.json.Decoder(_Head).decode
_list = msgspec.json.Decoder(_List).decode


class Expired(Exception):
    """The watch cannot go on from where it was; the list has to be taken anew."""


class Informer(Generic[V]):
    def __init__(
        self,
        client: RestClient,
        path: str,
        view: type[V],
        clock: Clock,
        params: Mapping[str, str] | None = None,
        indexes: Mapping[str, Index[V]] | None = None,
        rng: Rng | None = None,
        metadata_only: bool = False,
    ) -> None:
        """`path` is the collection's (`/api/v1/pods`); `params` may narrow it by selectors.

        With `metadata_only` the apiserver sends PartialObjectMetadata, whatever the kind.
        """
        self.path = path
        self.synced = asyncio.Event()
        self.revision = 0
        """The newest resourceVersion seen, by an object or a bookmark."""
        self._client = client
        self._clock = clock
        self._rng = rng or system_rng()
        self._params = dict(params or {})
        self._list_type = METADATA_LIST if metadata_only else "application/json"
        self._watch_type = METADATA if metadata_only else "application/json"
        self._decode: Callable[[Any], V] = msgspec.json.Decoder(view).decode
        self._objects: dict[str, V] = {}
        self._handlers: list[Handler[V]] = []
        self._waiters: list[tuple[Callable[[], bool], asyncio.Future[None]]] = []
        self._index_functions = dict(indexes or {})
        self._indexes: dict[str, dict[str, dict[str, V]]] = {name: {} for name in self._index_functions}

    # What readers ask

    def get(self, key: str) -> V | None:
        """By `namespace/name`, or `name` where there are no namespaces."""
        return self._objects.get(key)

    def __len__(self) -> int:
        return len(self._objects)

    def items(self) -> Iterator[tuple[str, V]]:
        return iter(list(self._objects.items()))

    def values(self) -> list[V]:
        return list(self._objects.values())

    def in_namespace(self, namespace: str) -> list[V]:
        prefix = namespace + "/"
        return [value for key, value in self._objects.items() if key.startswith(prefix)]

    def indexed(self, index: str, value: str) -> list[V]:
        return list(self._indexes[index].get(value, {}).values())

    def add_index(self, name: str, function: Index[V]) -> None:
        """Adding the same name again is fine: several readers share one informer."""
        if name in self._index_functions:
            return
        self._index_functions[name] = function
        self._indexes[name] = {}
        for key, value in self._objects.items():
            for at in function(value):
                self._indexes[name].setdefault(at, {})[key] = value

    def add_handler(self, handler: Handler[V]) -> None:
        """What is present is handed over at once, as new."""
        self._handlers.append(handler)
        for value in list(self._objects.values()):
            handler(None, value)

    def add_key_handler(self, callback: Callable[[str], None]) -> None:
        """`callback` with the key of whatever came, changed or went: what most controllers need."""

        def on_change(old: V | None, new: V | None) -> None:
            meta: Any = getattr(new if new is not None else old, "metadata", None)
            callback(f"{meta.namespace}/{meta.name}" if meta.namespace else meta.name)

        self.add_handler(on_change)

    async def wait_for(self, condition: Callable[[], bool]) -> None:
        """Until `condition` holds; it is looked at after each step of the copy."""
        if condition():
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.append((condition, future))
        await future

    # The loop

    async def run(self) -> None:
        """For ever. Raises only what a broken view would: msgspec.ValidationError is logged, the object left out."""
        delay = FIRST_DELAY
        consistent = False
        while True:
            try:
                revision = await self._take_list(consistent)
                consistent, delay = False, FIRST_DELAY
                while True:
                    revision = await self._follow(revision)
                    delay = FIRST_DELAY
            except Expired:
                consistent = True
                continue
            except (StatusError, httpx.HTTPError, OSError, msgspec.DecodeError) as error:
                level = logging.INFO if isinstance(error, httpx.TransportError) else logging.WARNING
                log.log(
                    level, "watching %s broke, again in %.1f s: %s", self.path, delay, error or type(error).__name__
                )
                await self._clock.sleep(delay * (1 + self._rng.random()))
                delay = min(delay * 2, MAX_DELAY)

    async def _take_list(self, consistent: bool) -> str:
        params = dict(self._params) if consistent else {**self._params, "resourceVersion": "0"}
        answer = _list(await self._client.get_bytes(self.path, params, self._list_type))
        present: set[str] = set()
        for raw in answer.items or ():
            key = self._put(raw)
            present.add(key)
        for key in [key for key in self._objects if key not in present]:
            self._remove(key)
        self._advance(answer.metadata.resourceVersion)
        self.synced.set()
        return answer.metadata.resourceVersion

    async def _follow(self, revision: str) -> str:
        params = {
            **self._params,
            "resourceVersion": revision,
            "allowWatchBookmarks": "true",
            "timeoutSeconds": str(WATCH_SECONDS - self._rng.randrange(0, 120)),
        }
        stream = self._client.watch(self.path, params, self._watch_type)
        try:
            async for event in stream:
                revision = self.apply(event) or revision
        except StatusError as error:
            if error.code == 410:
                raise Expired from error
            raise
        except httpx.RemoteProtocolError:
            pass  # the apiserver ended in the middle of a chunk; what came before it counts
        return revision

    def apply(self, event: WatchEvent) -> str:
        """One event; returns its resourceVersion. Raises Expired or StatusError for an ERROR event."""
        if event.type == "ERROR":
            error = refusal(500, event.object)
            if error.code == 410:
                raise Expired
            raise error
        meta = _head(event.object).metadata
        if event.type == "DELETED":
            self._remove(_key(meta))
        elif event.type != "BOOKMARK":
            self._put(event.object)
        self._advance(meta.resourceVersion)
        return meta.resourceVersion

    def _put(self, raw: Any) -> str:
        key = _key(_head(raw).metadata)
        try:
            value = self._decode(raw)
        except msgspec.ValidationError as error:
            log.error("%s %s is left out, its shape is not what this service reads: %s", self.path, key, error)
            return key
        old = self._objects.get(key)
        self._objects[key] = value
        self._reindex(key, old, value)
        for handler in self._handlers:
            handler(old, value)
        return key

    def _remove(self, key: str) -> None:
        old = self._objects.pop(key, None)
        if old is None:
            return
        self._reindex(key, old, None)
        for handler in self._handlers:
            handler(old, None)

    def _reindex(self, key: str, old: V | None, new: V | None) -> None:
        for name, function in self._index_functions.items():
            index = self._indexes[name]
            for at in function(old) if old is not None else ():
                entries = index.get(at)
                if entries is not None:
                    entries.pop(key, None)
                    if not entries:
                        del index[at]
            for at in function(new) if new is not None else ():
                index.setdefault(at, {})[key] = new  # type: ignore[assignment]

    def _advance(self, revision: str) -> None:
        if revision.isdigit():
            self.revision = max(self.revision, int(revision))
        if self._waiters:
            waiting = []
            for condition, future in self._waiters:
                if future.done():
                    continue
                if condition():
                    future.set_result(None)
                else:
                    waiting.append((condition, future))
            self._waiters = waiting


def _key(meta: _Meta) -> str:
    return f"{meta.namespace}/{meta.name}" if meta.namespace else meta.name


class Informers:
    """One informer for each collection, shared by all that read it in this process."""

    def __init__(self, client: RestClient, clock: Clock) -> None:
        self._client = client
        self._clock = clock
        self._by_path: dict[str, Informer[Any]] = {}

    def of(self, path: str, view: type[V]) -> Informer[V]:
        """The same view for the same path, whoever asks."""
        found = self._by_path.get(path)
        if found is None:
            found = self._by_path[path] = Informer(self._client, path, view, self._clock)
        return found

    def at(self, path: str) -> Informer[Any] | None:
        return self._by_path.get(path)

    async def run(self) -> None:
        """All of them, for ever; ask for every informer before."""
        async with asyncio.TaskGroup() as group:
            for informer in self._by_path.values():
                group.create_task(informer.run(), name=f"informer {informer.path}")

    async def synced(self) -> None:
        await wait_synced(list(self._by_path.values()))


async def wait_synced(informers: Sequence[Informer[Any]]) -> None:
    for informer in informers:
        await informer.synced.wait()
