"""Which objects the words of a command mean: `pods,svc`, `pod/x`, `pod x y`, files, selectors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import click

from skiff.ctl.catalog import Catalog, ResourceType
from skiff.ctl.failures import Failure
from skiff.ctl.session import Session

CHUNK = 500


@dataclass(frozen=True, slots=True)
class Target:
    """One object, or with an empty name all of a type. `namespace` is empty for all namespaces and for none."""

    type: ResourceType
    namespace: str
    name: str = ""

    @property
    def path(self) -> str:
        return self.type.path(self.namespace, self.name)

    def __str__(self) -> str:
        return f"{self.type.prefix}/{self.name}"


def parse(words: Sequence[str], catalog: Catalog, namespace: str, default_type: str = "") -> list[Target]:
    """Raises Failure where the words mean nothing, UnknownResource where the server has no such type."""
    words = [word for word in words if word]
    if not words:
        raise Failure(
            "You must specify the type of resource to get. See 'skiffctl api-resources' for the types there are."
        )

    def target(type_: ResourceType, name: str = "") -> Target:
        return Target(type_, namespace if type_.namespaced else "", name)

    if any("/" in word for word in words):
        found = []
        for word in words:
            kind, slash, name = word.partition("/")
            if not slash and default_type:
                kind, name = default_type, word
            elif not slash:
                raise Failure(
                    f"there is no need to specify a resource type as a separate argument when passing "
                    f"arguments in resource/name form (e.g. 'skiffctl get resource/<name>' instead of "
                    f"'skiffctl get resource resource/<name>'): {word}"
                )
            if not name or "/" in name:
                raise Failure("arguments in resource/name form must have a single resource and name")
            found += [target(catalog.find(one), name) for one in kind.split(",")]
        return found
    if default_type:
        return [target(catalog.find(default_type), name) for name in words]
    types: list[ResourceType] = []
    for word in words[0].split(","):
        types += catalog.category(word) or [catalog.find(word)]
    if len(words) == 1:
        return [target(type_) for type_ in types]
    return [target(type_, name) for name in words[1:] for type_ in types]


async def resolve(
    session: Session, words: Sequence[str], *, everywhere: bool = False, default_type: str = ""
) -> list[Target]:
    return parse(words, await session.catalog(), "" if everywhere else session.namespace, default_type)


async def listed(
    session: Session, target: Target, selector: str = "", field_selector: str = ""
) -> list[dict[str, Any]]:
    """The objects of a target, each with its apiVersion and kind; a missing one raises StatusError."""
    if target.name:
        return [await session.client.get(target.path)]
    items: list[dict[str, Any]] = []
    params = query(selector, field_selector)
    while True:
        answer = await session.client.get(target.path, params)
        for item in answer.get("items") or ():
            items.append({"apiVersion": target.type.api_version, "kind": target.type.kind, **item})
        if not (more := (answer.get("metadata") or {}).get("continue")):
            return items
        params = {**params, "continue": more}


def query(selector: str = "", field_selector: str = "") -> dict[str, str]:
    params = {"limit": str(CHUNK)}
    if selector:
        params["labelSelector"] = selector
    if field_selector:
        params["fieldSelector"] = field_selector
    return params


def at(catalog: Catalog, obj: dict[str, Any], namespace: str) -> Target:
    """Where an object from a file belongs."""
    type_ = catalog.of_object(obj)
    metadata = obj.get("metadata") or {}
    place = (metadata.get("namespace") or namespace) if type_.namespaced else ""
    return Target(type_, place, str(metadata.get("name") or ""))


selector_option = click.option("-l", "--selector", default="", help="Only objects with these labels.")
field_selector_option = click.option("--field-selector", default="", help="Only objects whose fields are so.")
everywhere_option = click.option("-A", "--all-namespaces", "everywhere", is_flag=True, help="In all namespaces.")
