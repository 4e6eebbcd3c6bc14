"""Which paths and operations a resource has, described once for both dialects of OpenAPI."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from apimachinery.resources import ResourceInfo, SubresourceInfo

JSON = dict[str, Any]
PATCH_TYPES = (
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
    "application/apply-patch+yaml",
)
_METHODS = {"get": "get", "list": "get", "create": "post", "update": "put", "patch": "patch", "delete": "delete"}
_METHODS["deletecollection"] = "delete"
_ACTIONS = {"create": "post", "update": "put"}
_WRITING = ("create", "update", "patch")
_DRY_RUN = ("dryRun", "string", "`All`: every stage but storing is run")
_MANAGER = ("fieldManager", "string", "name under which the written fields are owned")
_VALIDATION = ("fieldValidation", "string", "what unknown and duplicate fields lead to: Ignore, Warn or Strict")
_FORCE = ("force", "boolean", "take over fields that others own, when applying")
_LIST: tuple[tuple[str, str, str], ...] = (
    ("allowWatchBookmarks", "boolean", "send BOOKMARK events"),
    ("continue", "string", "token of the previous page"),
    ("fieldSelector", "string", "restrict by fields"),
    ("labelSelector", "string", "restrict by labels"),
    ("limit", "integer", "at most so many per page"),
    ("resourceVersion", "string", "how new the answer must be"),
    ("resourceVersionMatch", "string", "how resourceVersion is meant: Exact or NotOlderThan"),
    ("sendInitialEvents", "boolean", "begin a watch with the whole state"),
    ("timeoutSeconds", "integer", "how long the request may take"),
    ("watch", "boolean", "stream changes"),
)
_DELETE: tuple[tuple[str, str, str], ...] = (
    _DRY_RUN,
    ("gracePeriodSeconds", "integer", "seconds before the object is removed"),
    ("orphanDependents", "boolean", "deprecated: use propagationPolicy"),
    ("propagationPolicy", "string", "what becomes of dependents: Orphan, Background or Foreground"),
)
PARAMETERS: dict[str, tuple[tuple[str, str, str], ...]] = {
    "get": (),
    "list": _LIST,
    "create": (_DRY_RUN, _MANAGER, _VALIDATION),
    "update": (_DRY_RUN, _MANAGER, _VALIDATION),
    "patch": (_DRY_RUN, _MANAGER, _VALIDATION, _FORCE),
    "delete": _DELETE,
    "deletecollection": (*_DELETE, *_LIST),
}


@dataclass(frozen=True, slots=True)
class Operation:
    path: str
    method: str
    verb: str
    identifier: str
    gvk: tuple[str, str, str]
    tag: str
    in_path: tuple[str, ...]

    @property
    def action(self) -> str:
        return _ACTIONS.get(self.verb, self.verb)

    @property
    def writes(self) -> bool:
        return self.verb in _WRITING

    @property
    def parameters(self) -> tuple[tuple[str, str, str], ...]:
        return PARAMETERS[self.verb]

    @property
    def extensions(self) -> JSON:
        group, version, kind = self.gvk
        described = {"group": group, "kind": kind, "version": version}
        return {"x-kubernetes-action": self.action, "x-kubernetes-group-version-kind": described}


def of(info: ResourceInfo) -> Iterator[Operation]:
    gvk = (info.group, info.version, info.kind)
    if info.namespaced:
        inside = info.path("{namespace}")
        if "list" in info.verbs:
            yield _operation(info, info.path(), "list", gvk, f"{info.kind}ForAllNamespaces", ())
        yield from _collection(info, inside, gvk, ("namespace",))
        yield from _item(info, info.path("{namespace}", "{name}"), gvk, ("name", "namespace"))
    else:
        yield from _collection(info, info.path(), gvk, ())
        yield from _item(info, info.path("", "{name}"), gvk, ("name",))


def _collection(
    info: ResourceInfo, path: str, gvk: tuple[str, str, str], names: tuple[str, ...]
) -> Iterator[Operation]:
    for verb in ("list", "create", "deletecollection"):
        if verb in info.verbs:
            yield _operation(info, path, verb, gvk, info.kind, names)


def _item(info: ResourceInfo, path: str, gvk: tuple[str, str, str], names: tuple[str, ...]) -> Iterator[Operation]:
    for verb in ("get", "update", "patch", "delete"):
        if verb in info.verbs:
            yield _operation(info, path, verb, gvk, info.kind, names)
    for one in info.subresources:
        yield from _subresource(info, one, f"{path}/{one.name}", names)


def _subresource(info: ResourceInfo, one: SubresourceInfo, path: str, names: tuple[str, ...]) -> Iterator[Operation]:
    label = f"{info.kind}{one.name[:1].upper()}{one.name[1:]}"
    for verb in ("get", "create", "update", "patch", "delete"):
        if verb in one.verbs:
            yield _operation(info, path, verb, (one.group, one.version, one.kind), label, names)


def _operation(
    info: ResourceInfo, path: str, verb: str, gvk: tuple[str, str, str], label: str, names: tuple[str, ...]
) -> Operation:
    group = "".join(part.capitalize() for part in (info.group.removesuffix(".k8s.io") or "core").split("."))
    scope = "Namespaced" if "namespace" in names else ""
    word = {"get": "read", "update": "replace", "deletecollection": "deleteCollection"}.get(verb, verb)
    identifier = f"{word}{group}{info.version.capitalize()}{scope}{label}"
    tag = f"{(info.group.removesuffix('.k8s.io') or 'core').replace('.', '')}_{info.version}"
    return Operation(path, _METHODS[verb], verb, identifier, gvk, tag, names)
