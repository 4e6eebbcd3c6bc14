"""The chain of plugins, and what all of them share."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar, NamedTuple

from apimachinery import errors, resources
from apimachinery.errors import StatusError
from apimachinery.resources import ResourceInfo
from apiserver.ports import Admission, AdmissionRequest, Operation

CORE = ""


class Plugin:
    """Does nothing: subclasses override one half or both.

    `handles` are the (group, plural) that a plugin looks at, None for all, and `operations` when it does; the chain
    asks nobody else, so that a request pays only for plugins that concern it.
    """

    name: ClassVar[str]
    handles: ClassVar[frozenset[tuple[str, str]] | None] = None
    operations: ClassVar[frozenset[Operation]] = frozenset({Operation.CREATE, Operation.UPDATE, Operation.DELETE})

    async def mutate(self, request: AdmissionRequest) -> None:
        """Completes `request.obj` in place, or refuses."""

    async def validate(self, request: AdmissionRequest) -> None:
        """Refuses, or lets pass."""


class _Concerned(NamedTuple):
    """The plugins that have something to do about a kind of request, by the half in which they do it."""

    mutating: tuple[Plugin, ...]
    validating: tuple[Plugin, ...]


class Chain:
    """Plugins in order; the first refusal ends the request.

    When a webhook has changed the object, all mutating plugins see it a second time: those that come earlier may have
    something to say about what it added.
    """

    def __init__(self, plugins: Iterable[Plugin], validators: Iterable[Admission] = ()) -> None:
        self.plugins = tuple(plugins)
        self._validators = tuple(validators)
        self._selected: dict[tuple[str, str, Operation], _Concerned] = {}

    async def mutate(self, request: AdmissionRequest) -> None:
        concerned = self._for(request).mutating
        for plugin in concerned:
            await plugin.mutate(request)
        if request.changed:
            request.again = True
            for plugin in concerned:
                await plugin.mutate(request)

    async def validate(self, request: AdmissionRequest) -> None:
        for plugin in self._for(request).validating:
            await plugin.validate(request)
        for validator in self._validators:
            await validator.validate(request)

    def _for(self, request: AdmissionRequest) -> _Concerned:
        key = (request.info.group, request.info.plural, request.operation)
        found = self._selected.get(key)
        if found is None:
            concerned = [
                plugin
                for plugin in self.plugins
                if key[2] in plugin.operations and (plugin.handles is None or key[:2] in plugin.handles)
            ]
            found = self._selected[key] = _Concerned(
                tuple(plugin for plugin in concerned if type(plugin).mutate is not Plugin.mutate),
                tuple(plugin for plugin in concerned if type(plugin).validate is not Plugin.validate),
            )
        return found


def refuse(request: AdmissionRequest, why: object) -> StatusError:
    """403 about the object of the request, named as upstream names it. A refusal as `why` is passed on as it is."""
    if isinstance(why, StatusError):
        if why.code == 403:
            return why
        why = why.message
    return errors.forbidden(request.info.plural, request.info.group, object_name(request), why)


def object_name(request: AdmissionRequest) -> str:
    if request.name:
        return request.name
    metadata = (request.obj or {}).get("metadata") or {}
    return str(metadata.get("name") or metadata.get("generateName") or "Unknown")


def known(group: str, version: str, plural: str) -> ResourceInfo:
    """A built-in resource, which is always there."""
    info = resources.find(group, version, plural)
    assert info is not None, (group, version, plural)
    return info


def pods_only() -> frozenset[tuple[str, str]]:
    return frozenset({(CORE, "pods")})
