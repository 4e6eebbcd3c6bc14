"""OpenAPI documents of the servers behind APIServices: read when somebody asks for ours, and joined with them."""

from __future__ import annotations

import asyncio
import copy
import logging
from collections.abc import Iterable
from typing import Any

import orjson

from apimachinery.errors import StatusError
from apiserver.aggregation.availability import AGGREGATOR
from apiserver.aggregation.backends import Backend, Backends
from apiserver.aggregation.transport import BackendTransport, Unreachable

log = logging.getLogger(__name__)

JSON = dict[str, Any]
ANSWER_SECONDS = 10.0
MAX_BYTES = 32 * 1024 * 1024
REFERENCE = "#/definitions/"


class RemoteOpenApi:
    """Each document is kept until the APIServices change."""

    def __init__(self, backends: Backends, transport: BackendTransport) -> None:
        self._backends = backends
        self._transport = transport
        self._kept: dict[tuple[str, str], JSON] = {}
        self._generation = -1

    @property
    def generation(self) -> int:
        return self._backends.generation

    def answers(self, group: str, version: str) -> bool:
        return self._backends.find(group, version) is not None

    async def index(self) -> JSON:
        """Entries for the paths of `/openapi/v3`."""
        found: JSON = {}
        for backend, document in await self._all("/openapi/v3"):
            name = backend.path.strip("/")
            entry = (document.get("paths") or {}).get(name)
            if isinstance(entry, dict):
                found[name] = entry
        return found

    async def v3(self, group: str, version: str) -> JSON | None:
        """The document of a group version. None when its server has none."""
        backend = self._backends.find(group, version)
        if backend is None:
            return None
        return await self._fetch(backend, f"/openapi/v3{backend.path}")

    async def v2(self, own: JSON) -> JSON:
        """Our document with the paths of the others, and the definitions that those need."""
        others = [(one.path, document) for one, document in await self._all("/openapi/v2")]
        return merged(own, others) if others else own

    async def _all(self, path: str) -> list[tuple[Backend, JSON]]:
        backends = [one for one in self._backends.all() if one.available]
        found = await asyncio.gather(*(self._fetch(one, path) for one in backends))
        return [(one, document) for one, document in zip(backends, found, strict=True) if document is not None]

    async def _fetch(self, backend: Backend, path: str) -> JSON | None:
        if self._generation != self._backends.generation:
            self._kept.clear()
            self._generation = self._backends.generation
        key = (backend.server_name, path)
        if key in self._kept:
            return self._kept[key]
        try:
            accept = {"accept": "application/json"}
            response = await self._transport.get(backend, path, AGGREGATOR, ANSWER_SECONDS, accept)
            found = orjson.loads(response.content) if response.status_code == 200 else None
        except (Unreachable, StatusError, ValueError) as error:
            log.info("OpenAPI of the APIService %s: %s", backend.name, error)
            return None
        if not isinstance(found, dict) or len(response.content) > MAX_BYTES:
            log.info("OpenAPI of the APIService %s: %s is no document (%d)", backend.name, path, response.status_code)
            return None
        self._kept[key] = found
        return found


def merged(own: JSON, others: Iterable[tuple[str, JSON]]) -> JSON:
    """Takes from each of `others` (the path it answers under, its document) its paths and what they refer to.

    A definition whose name is taken by another one gets a name of its own. Pure; `own` is left as it is.
    """
    paths, definitions = dict(own.get("paths") or {}), dict(own.get("definitions") or {})
    for prefix, document in others:
        taken = {
            path: item for path, item in (document.get("paths") or {}).items() if f"{path}/".startswith(f"{prefix}/")
        }
        needed = _reached(taken, document.get("definitions") or {})
        names = {name: _free_name(name, definition, definitions) for name, definition in needed.items()}
        renamed = {name: new for name, new in names.items() if name != new}
        for name, definition in needed.items():
            definitions.setdefault(names[name], _renamed(definition, renamed))
        for path, item in taken.items():
            paths.setdefault(path, _renamed(item, renamed))
    return {**own, "paths": paths, "definitions": definitions}


def _reached(start: Any, definitions: JSON) -> JSON:
    """The definitions that something refers to, and those that these refer to."""
    found: JSON = {}
    waiting = list(_references(start))
    while waiting:
        name = waiting.pop()
        if name not in found and name in definitions:
            found[name] = definitions[name]
            waiting.extend(_references(definitions[name]))
    return found


def _references(value: Any) -> Iterable[str]:
    if isinstance(value, dict):
        reference = value.get("$ref")
        if isinstance(reference, str) and reference.startswith(REFERENCE):
            yield reference.removeprefix(REFERENCE)
        for one in value.values():
            yield from _references(one)
    elif isinstance(value, list):
        for one in value:
            yield from _references(one)


def _free_name(name: str, definition: Any, definitions: JSON) -> str:
    number, candidate = 1, name
    while candidate in definitions and not _same(definitions[candidate], definition):
        number += 1
        candidate = f"{name}_v{number}"
    return candidate


def _same(one: Any, other: Any) -> bool:
    """But for the kinds they are listed under: every server lists its own for the types all share."""
    kinds = "x-kubernetes-group-version-kind"
    if isinstance(one, dict) and isinstance(other, dict):
        return {k: v for k, v in one.items() if k != kinds} == {k: v for k, v in other.items() if k != kinds}
    return bool(one == other)


def _renamed(value: Any, names: dict[str, str]) -> Any:
    if not names:
        return value
    value = copy.deepcopy(value)
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict):
            reference = str(one.get("$ref", ""))
            if reference.removeprefix(REFERENCE) in names and reference.startswith(REFERENCE):
                one["$ref"] = REFERENCE + names[reference.removeprefix(REFERENCE)]
            waiting.extend(one.values())
        elif isinstance(one, list):
            waiting.extend(one)
    return value
