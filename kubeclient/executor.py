"""Carries plans out and remembers what was written, so that the next plan for a key waits for the caches to show it.

resourceVersions of one store grow with every write, so "the cache has seen my write" is a comparison of numbers
(KEP-5504); a deletion is seen when the object is gone or marked.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Hashable, Sequence
from typing import Any

from apimachinery.errors import StatusError
from component_base.clock import Clock
from kubeclient.events import EventRecorder
from kubeclient.informer import Informer, Informers
from kubeclient.plan import Action, Create, Delete, Event, Patch, Plan, Replace, collection_and_key
from kubeclient.rest import RestClient

log = logging.getLogger(__name__)

#: How long a plan waits for a cache that does not show a write; then it goes ahead, as upstream's expectations do.
PATIENCE = 30.0
#: The first of a batch goes alone, then twice as many each time: a quota that refuses is asked few times.
FIRST_SLICE = 1
MAX_SLICE = 32


class Executor:
    def __init__(self, client: RestClient, informers: Informers, recorder: EventRecorder, clock: Clock) -> None:
        self._client = client
        self._informers = informers
        self._recorder = recorder
        self._clock = clock
        self._unseen: dict[Hashable, list[tuple[Informer[Any], Callable[[], bool]]]] = {}

    async def caught_up(self, key: Hashable) -> None:
        """Returns once the caches show what was done for this key, or patience ends."""
        waits = [(informer, seen) for informer, seen in self._unseen.pop(key, ()) if not seen()]
        if not waits:
            return
        everything: asyncio.Future[Any] = asyncio.gather(*(informer.wait_for(seen) for informer, seen in waits))
        patience: asyncio.Future[Any] = asyncio.ensure_future(self._clock.sleep(PATIENCE))
        await asyncio.wait([everything, patience], return_when=asyncio.FIRST_COMPLETED)
        if not everything.done():
            log.warning("the caches of %s do not show what was written for %s", [i.path for i, _ in waits], key)
            everything.cancel()
        patience.cancel()

    async def execute(self, key: Hashable, plan: Plan) -> None:
        """Raises the first StatusError; what was done before it stays done and is waited for."""
        for batch in plan.batches:
            await self._batch(key, batch)

    async def _batch(self, key: Hashable, batch: Sequence[Action]) -> None:
        size, start = FIRST_SLICE, 0
        while start < len(batch):
            part = batch[start : start + size]
            results = await asyncio.gather(*(self._act(key, action) for action in part), return_exceptions=True)
            for result in results:
                if isinstance(result, BaseException):
                    raise result
            start += size
            size = min(size * 2, MAX_SLICE)

    async def _act(self, key: Hashable, action: Action) -> None:
        announce = action.announce if isinstance(action, Create | Delete) else None
        try:
            name = await self._perform(key, action)
        except StatusError as error:
            # A namespace that is being emptied refuses new content: expected, and nobody there to read about it.
            if announce is not None and announce.failed is not None and not is_namespace_ending(error):
                reason, message = announce.failed
                self._recorder.event(announce.reference, "Warning", reason, message.format(error=error))
            raise
        if announce is not None and announce.done is not None:
            reason, message = announce.done
            self._recorder.event(announce.reference, "Normal", reason, message.format(name=name))

    async def _perform(self, key: Hashable, action: Action) -> str:
        """Returns the name of the object that was written."""
        match action:
            case Event():
                self._recorder.event(action.reference, action.type, action.reason, action.message)
            case Create():
                if (made := await _unless(action.exists_is_fine, "AlreadyExists", self._create(action))) is not None:
                    self._expect_version(key, action.path, made)
                    return str(made["metadata"]["name"])
            case Replace():
                self._expect_version(key, action.path, await self._client.replace(action.path, action.body))
            case Patch():
                call = self._client.patch(action.path, action.body, action.content_type)
                if (answer := await _unless(action.gone_is_fine, "NotFound", call)) is not None:
                    self._expect_version(key, action.path, answer)
            case Delete():
                await _unless(True, "NotFound", self._client.delete(action.path, _delete_options(action)))
                self._expect_deletion(key, action.path)
                return collection_and_key(action.path)[1].rpartition("/")[2]
        return ""

    def _create(self, action: Create) -> Awaitable[dict[str, Any]]:
        return self._client.create(action.path, action.body)

    def _expect_version(self, key: Hashable, path: str, answer: dict[str, Any]) -> None:
        metadata = answer.get("metadata") or {}
        collection, _ = collection_and_key(path, metadata.get("name", ""))
        informer = self._informers.at(collection)
        version = str(metadata.get("resourceVersion") or "")
        if informer is not None and version.isdigit():
            revision = int(version)
            self._unseen.setdefault(key, []).append((informer, lambda: informer.revision >= revision))

    def _expect_deletion(self, key: Hashable, path: str) -> None:
        collection, name = collection_and_key(path)
        informer = self._informers.at(collection)
        if informer is None:
            return

        def seen() -> bool:
            found = informer.get(name)
            return found is None or getattr(found.metadata, "deletionTimestamp", None) is not None

        self._unseen.setdefault(key, []).append((informer, seen))


def is_namespace_ending(error: StatusError) -> bool:
    """Whether the namespace is being emptied and takes nothing new."""
    return any(cause.get("reason") == "NamespaceTerminating" for cause in error.causes)


async def _unless(fine: bool, reason: str, call: Awaitable[dict[str, Any]]) -> dict[str, Any] | None:
    try:
        return await call
    except StatusError as error:
        if fine and error.reason == reason:
            return None
        raise


def _delete_options(action: Delete) -> dict[str, Any]:
    options: dict[str, Any] = {"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": action.propagation}
    conditions = {"uid": action.uid, "resourceVersion": action.resource_version}
    if any(conditions.values()):
        options["preconditions"] = {name: value for name, value in conditions.items() if value}
    if action.grace_seconds is not None:
        options["gracePeriodSeconds"] = action.grace_seconds
    return options
