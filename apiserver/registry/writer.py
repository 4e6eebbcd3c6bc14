"""How objects are created, changed and removed: the order of defaults, admission, strategy, validation and the store.

Everything that writes goes through here: the verbs of the API and the server's own parts.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol

from apimachinery import defaults, errors, strategies, timestamps, validation
from apimachinery.errors import StatusError
from apimachinery.resources import ResourceInfo
from apimachinery.strategies.advice import advice
from apiserver.aside import aside
from apiserver.ports import LOOPBACK, Admission, AdmissionRequest, Operation, User
from apiserver.registry import deletion, versions
from apiserver.storage import encoding
from apiserver.storage.cache import Entry
from apiserver.storage.feed import Feed
from apiserver.storage.store import ObjectStore
from component_base.clock import Clock
from component_base.rng import Rng, suffix, uuid4
from kubeclient.etcd3 import KeyValue

JSON = dict[str, Any]
Change = Callable[[JSON], Awaitable[JSON | None]]
_MAX_GENERATED_BASE = 63 - 5
_NAME_TRIES = 8
_SWAP_TRIES = 100
_TERMINATING = "create not allowed while custom resource definition is terminating"
_RV_ON_CREATE = "resourceVersion should not be set on objects to be created"


@dataclass(frozen=True, slots=True)
class SeenAs:
    """How admission sees a write through a subresource whose body is no whole object, such as scale."""

    subresource: str
    kind: tuple[str, str, str]
    of: Callable[[JSON], JSON]
    """The body that the subresource shows of an object."""
    back: Callable[[JSON, JSON], None]
    """(body, object): writes into the object what admission has made of the body."""


@dataclass(slots=True)
class Write:
    """Who writes and how; shared by the steps of one request."""

    user: User = LOOPBACK
    dry_run: bool = False
    options: Mapping[str, Any] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    annotations: dict[str, str] = field(default_factory=dict)
    """For the audit log."""
    admit: bool = True
    raw: bool = False
    """The change is the server's own and complete: no defaults, admission, strategy or validation."""
    manage: Callable[[JSON, JSON | None, str], None] | None = None
    """Records in managedFields who wrote what: (new, old, subresource)."""
    seen_as: SeenAs | None = None
    size: int = 0
    """Bytes of the request's body: what takes long with a big one is done on another thread."""


@dataclass(frozen=True, slots=True)
class Written:
    entry: Entry
    created: bool = False
    removed: bool = False


class Side(Protocol):
    """What else a kind's writes do, such as taking and giving back a Service's addresses.

    `prepare` runs before validation and may change `new`; what it returns is told whether the write took place.
    """

    async def prepare(self, new: JSON | None, old: JSON | None, dry_run: bool) -> Callable[[bool], Awaitable[None]]: ...


class Writer:
    def __init__(
        self, feed: Feed, store: ObjectStore, admission: Admission | None, clock: Clock, rng: Rng, event_ttl: int = 3600
    ) -> None:
        self._feed = feed
        self._store = store
        self.admission = admission
        self._clock = clock
        self._rng = rng
        self._event_ttl = event_ttl
        self.sides: dict[str, Side] = {}

    # -- Create

    async def create(self, info: ResourceInfo, obj: JSON, write: Write) -> Entry:
        """`obj` is decoded and its namespace settled; it is changed in place."""
        metadata = obj["metadata"]
        if info.custom is not None and info.custom.terminating:
            name = metadata.get("name") or ""
            raise errors.forbidden(info.plural, info.group, name, _TERMINATING)
        self._wipe_system_fields(metadata)
        await self._admit_new(info, obj, write)
        metadata = obj["metadata"]
        self._system_fields(metadata)
        generate = metadata.get("generateName") or ""
        generated = bool(generate) and not metadata.get("name")
        for attempt in range(_NAME_TRIES if generated else 1):
            if generated:
                metadata["name"] = self._name(generate)
            if attempt == 0:
                self._prepare(info, obj, write)
            try:
                return await self._insert(info, obj, write)
            except StatusError as error:
                last = attempt + 1 == _NAME_TRIES
                if not generated or error.reason != "AlreadyExists":
                    raise
                if last:
                    raise errors.generated_name_conflict(info.plural, info.group, metadata["name"]) from None
        raise AssertionError("the loop returns or raises")

    @staticmethod
    def _wipe_system_fields(metadata: JSON) -> None:
        """They are the server's to fill in; what admission sees has none of them yet."""
        for name in ("uid", "creationTimestamp", "selfLink", "deletionTimestamp", "deletionGracePeriodSeconds"):
            metadata.pop(name, None)

    def _system_fields(self, metadata: JSON) -> None:
        metadata["uid"] = uuid4()
        metadata["creationTimestamp"] = timestamps.format(self._clock.now())

    def _name(self, base: str) -> str:
        return base[:_MAX_GENERATED_BASE] + suffix(self._rng)

    async def _admit_new(self, info: ResourceInfo, obj: JSON, write: Write) -> None:
        await aside(partial(_complete, info, obj, None, "", write), write.size)
        if write.admit and self.admission is not None:
            request = _admission(Operation.CREATE, info, "", obj, None, write)
            await self.admission.mutate(request)
            if request.changed:  # by webhooks or policies: what our own plugins write is complete
                defaults.apply(info, obj)

    def _prepare(self, info: ResourceInfo, obj: JSON, write: Write) -> None:
        strategies.prepare_create(info, obj, self._clock.now())
        if info.group_resource == "certificatesigningrequests.certificates.k8s.io":
            obj["spec"] |= _requester(write.user)

    async def _insert(self, info: ResourceInfo, obj: JSON, write: Write) -> Entry:
        metadata = obj["metadata"]
        name, namespace = metadata.get("name") or "", metadata.get("namespace") or ""
        settle = await self._side(info, obj, None, write)
        done = False
        try:
            if found := await aside(partial(validation.validate_create, info, obj), write.size):
                raise errors.invalid(info.group, info.kind, name, found)
            write.warnings += advice(info, obj)
            if write.admit and self.admission is not None:
                await self.admission.validate(_admission(Operation.CREATE, info, "", obj, None, write))
            if metadata.get("resourceVersion"):
                # Storing is what cannot be done with it: whoever may not create at all hears that first.
                raise errors.bad_request(_RV_ON_CREATE)
            entry = await self._store_new(info, obj, namespace, name, write)
            done = not write.dry_run
            return entry
        finally:
            if settle is not None:
                await settle(done)

    async def _store_new(self, info: ResourceInfo, obj: JSON, namespace: str, name: str, write: Write) -> Entry:
        key = info.key(namespace, name)
        value, own = await versions.encoded(info, obj)
        if write.dry_run:
            if await self._store.latest(key) is not None:
                raise errors.already_exists(info.plural, info.group, name)
            return self._entry(info, key, own, 0)
        outcome = await self._store.create(key, value, self._ttl(info))
        if not outcome.done:
            raise errors.already_exists(info.plural, info.group, name)
        return self._written(info, key, own, outcome.revision)

    def _ttl(self, info: ResourceInfo) -> int:
        return self._event_ttl if info.plural == "events" and info.kind == "Event" else 0

    def _entry(self, info: ResourceInfo, key: str, value: bytes, revision: int, lease: int = 0) -> Entry:
        cache = self._feed.cache(info)
        data = encoding.with_revision(value, revision) if revision else value
        return Entry(key[len(cache.prefix) :], data, revision, cache.indexer.summary(value), lease)

    def _written(self, info: ResourceInfo, key: str, value: bytes, revision: int) -> Entry:
        """What a write has left in the store: the cache has it already where the watch was faster than the answer."""
        cache = self._feed.cache(info)
        present: Entry | None = cache.entries.get(key[len(cache.prefix) :]) if info.custom is None else None
        if present is not None and present.revision == revision:
            return present
        return self._entry(info, key, value, revision)

    async def _from_store(self, info: ResourceInfo, kv: KeyValue) -> Entry:
        (value,) = await self._feed.cache(info).native([kv.value])
        entry = self._entry(info, kv.key.decode(), value, kv.mod_revision, kv.lease)
        entry.stale = value is not kv.value
        return entry

    async def _side(
        self, info: ResourceInfo, new: JSON | None, old: JSON | None, write: Write
    ) -> Callable[[bool], Awaitable[None]] | None:
        side = self.sides.get(info.group_resource)
        return await side.prepare(new, old, write.dry_run) if side is not None else None

    # -- Update

    async def update(
        self,
        info: ResourceInfo,
        namespace: str,
        name: str,
        change: Change,
        write: Write,
        subresource: str = "",
        create: bool = False,
        options: deletion.Options | None = None,
    ) -> Written:
        """`change` gets the object in `info`'s version and returns what it shall be, None for no change.

        It may be called several times: first with the cache's state, then with the store's when that was stale. With
        `create` an absent object is created from what `change` makes of an empty one. `options`: preconditions.
        """
        entry, certain = await self._current(info, namespace, name)
        refused: StatusError | None = None
        for _ in range(_SWAP_TRIES):
            if entry is None:
                if not create:
                    raise errors.not_found(info.plural, info.group, name)
                obj = await change({})
                assert obj is not None
                return Written(await self.create(info, obj, write), created=True)
            try:
                written = await self._try_update(info, entry, change, write, subresource, options)
            except StatusError as error:
                if certain:
                    raise
                written, refused = None, error
            if written is not None:
                return written
            kv = await self._store.latest(info.key(namespace, name))
            if refused is not None and kv is not None and kv.mod_revision == entry.revision:
                raise refused  # the cache was right, and so was the refusal
            entry, certain, refused = (await self._from_store(info, kv) if kv else None), True, None
        raise errors.modified(info.plural, info.group, name)

    async def _current(self, info: ResourceInfo, namespace: str, name: str) -> tuple[Entry | None, bool]:
        entry = self._feed.cache(info).get(namespace if info.namespaced else "", name)
        if entry is not None:
            return entry, False
        kv = await self._store.latest(info.key(namespace, name))
        return (await self._from_store(info, kv) if kv else None), True

    async def _try_update(
        self,
        info: ResourceInfo,
        entry: Entry,
        change: Change,
        write: Write,
        subresource: str,
        options: deletion.Options | None,
    ) -> Written | None:
        """None: somebody else was faster. Raises what the state at hand calls for."""
        old = versions.from_stored(info, entry.copy())
        if options is not None:
            deletion.check_preconditions(info, old, options)
        new = await change(versions.from_stored(info, entry.copy()))
        if new is None:
            return Written(entry)
        self._check_identity(info, new, old, subresource)
        if write.raw:
            return await self._replace(info, entry, new, write)
        self._fill(new, old)
        size = max(write.size, len(entry.data))
        await aside(partial(_complete, info, new, old, subresource, write), size)
        request = _admission(Operation.UPDATE, info, subresource, new, old, write)
        if write.seen_as is not None:
            _narrow(request, write.seen_as)
        if write.admit and self.admission is not None:
            await self.admission.mutate(request)
            if write.seen_as is not None:
                write.seen_as.back(request.obj or {}, new)
            if request.changed:
                defaults.apply(info, new)
        strategies.prepare_subresource_update(info, subresource, new, old, self._clock.now())
        settle = await self._side(info, new, old, write) if not subresource else None
        done = False
        try:
            if subresource:
                validate = partial(validation.validate_subresource_update, info, subresource, new, old)
            else:
                validate = partial(validation.validate_update, info, new, old)
            found = await aside(validate, size)
            if found:
                raise errors.invalid(info.group, info.kind, entry.name, found)
            if not subresource:
                write.warnings += advice(info, new, old)
            if write.admit and self.admission is not None:
                await self.admission.validate(request)
            written = await self._replace(info, entry, new, write)
            done = written is not None and not write.dry_run
            return written
        finally:
            if settle is not None:
                await settle(done)

    async def _replace(self, info: ResourceInfo, entry: Entry, new: JSON, write: Write) -> Written | None:
        key = f"{info.etcd_prefix}/{entry.key}"
        value, own = await versions.encoded(info, new)
        if deletion.finished(info, new):
            return await self._remove(info, entry, self._entry(info, key, own, entry.revision), write)
        if encoding.with_revision(own, entry.revision) == entry.data and not entry.stale:
            return await self._unchanged(info, entry)
        if write.dry_run:
            return Written(self._entry(info, key, own, entry.revision))
        outcome = await self._store.replace(key, value, entry.revision, self._ttl(info), entry.lease)
        if not outcome.done:
            return None
        return Written(self._written(info, key, own, outcome.revision))

    async def _unchanged(self, info: ResourceInfo, entry: Entry) -> Written | None:
        """Nothing to write, if what was compared is still what the store holds."""
        cache = self._feed.cache(info)
        await self._feed.fresh(cache)
        current = cache.entries.get(entry.key)
        return Written(entry) if current is not None and current.revision == entry.revision else None

    async def _remove(self, info: ResourceInfo, entry: Entry, final: Entry, write: Write) -> Written | None:
        if write.dry_run:
            return Written(final, removed=True)
        outcome = await self._store.remove(f"{info.etcd_prefix}/{entry.key}", entry.revision)
        if not outcome.done:
            return None
        settle = await self._side(info, None, entry.copy(), write)
        if settle is not None:
            await settle(True)
        return Written(final, removed=True)

    def _check_identity(self, info: ResourceInfo, new: JSON, old: JSON, subresource: str) -> None:
        metadata, before = new["metadata"], old["metadata"]
        uid = metadata.get("uid")
        if uid and uid != before.get("uid"):
            raise errors.conflict(
                info.plural,
                info.group,
                before["name"],
                f"Precondition failed: UID in precondition: {uid}, UID in object meta: {before.get('uid', '')}",
            )
        revision = metadata.get("resourceVersion")
        if revision and revision != "0" and revision != before["resourceVersion"]:
            raise errors.modified(info.plural, info.group, before["name"])
        metadata["resourceVersion"] = before["resourceVersion"]

    @staticmethod
    def _fill(new: JSON, old: JSON) -> None:
        metadata, before = new["metadata"], old["metadata"]
        metadata["creationTimestamp"] = before.get("creationTimestamp")
        for name in ("uid", "deletionTimestamp", "deletionGracePeriodSeconds"):
            if before.get(name) is not None and (name == "deletionTimestamp" or metadata.get(name) is None):
                metadata[name] = before[name]
            elif before.get(name) is None and name != "uid":
                metadata.pop(name, None)

    # -- Delete

    async def delete(
        self, info: ResourceInfo, namespace: str, name: str, options: deletion.Options, write: Write
    ) -> Written:
        entry, certain = await self._current(info, namespace, name)
        refused: StatusError | None = None
        checked = False
        for _ in range(_SWAP_TRIES):
            if entry is None:
                raise errors.not_found(info.plural, info.group, name)
            try:
                written = await self._try_delete(info, entry, options, write, admit=not checked)
                checked = True
            except StatusError as error:
                if certain:
                    raise
                written, refused = None, error
            if written is not None:
                return written
            kv = await self._store.latest(info.key(namespace, name))
            if refused is not None and kv is not None and kv.mod_revision == entry.revision:
                raise refused  # the cache was right, and so was the refusal
            entry, certain, refused = (await self._from_store(info, kv) if kv else None), True, None
        raise errors.modified(info.plural, info.group, name)

    async def _try_delete(
        self, info: ResourceInfo, entry: Entry, options: deletion.Options, write: Write, admit: bool
    ) -> Written | None:
        old = entry.shared()
        deletion.check_preconditions(info, old, options)
        if admit and write.admit and self.admission is not None:
            request = _admission(Operation.DELETE, info, "", None, old, write)
            await self.admission.mutate(request)
            await self.admission.validate(request)
        decision = deletion.decide(info, old, options, self._clock.now())
        if decision.remove:
            return await self._remove(info, entry, entry, write)
        if decision.changed is None:
            return Written(entry)
        key = f"{info.etcd_prefix}/{entry.key}"
        value, own = await versions.encoded(info, decision.changed)
        if write.dry_run:
            return Written(self._entry(info, key, own, entry.revision))
        outcome = await self._store.replace(key, value, entry.revision, 0, entry.lease)
        return Written(self._entry(info, key, own, outcome.revision)) if outcome.done else None


def _complete(info: ResourceInfo, new: JSON, old: JSON | None, subresource: str, write: Write) -> None:
    defaults.apply(info, new)
    if write.manage is not None:
        write.manage(new, old, subresource)


def _admission(
    operation: Operation, info: ResourceInfo, subresource: str, obj: JSON | None, old: JSON | None, write: Write
) -> AdmissionRequest:
    metadata = (obj or old or {}).get("metadata") or {}
    return AdmissionRequest(
        operation,
        info,
        subresource,
        metadata.get("namespace") or "",
        metadata.get("name") or "",
        obj,
        old,
        write.user,
        write.dry_run,
        write.options,
        write.warnings,
        annotations=write.annotations,
    )


def _narrow(request: AdmissionRequest, seen_as: SeenAs) -> None:
    assert request.obj is not None
    assert request.old is not None
    request.subresource, request.kind = seen_as.subresource, seen_as.kind
    request.obj, request.old = seen_as.of(request.obj), seen_as.of(request.old)


def _requester(user: User) -> JSON:
    """Who asks for a certificate: approvers and signers decide by this, so it is never the client's to say."""
    found: JSON = {"username": user.name, "groups": list(user.groups)}
    if user.uid:
        found["uid"] = user.uid
    if user.extra:
        found["extra"] = {key: list(values) for key, values in user.extra.items()}
    return found
