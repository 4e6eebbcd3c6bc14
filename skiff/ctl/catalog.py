"""What the server has, by any of the names people use: `po`, `pod`, `Pod`, `pods.v1`, `deploy.apps`."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from kubeclient.rest import RestClient

_FORMS = ("v2", "v2beta1")
AGGREGATED = ",".join(f"application/json;g=apidiscovery.k8s.io;v={form};as=APIGroupDiscoveryList" for form in _FORMS)


class UnknownResource(Exception):
    """The server has no such resource; the text says so as kubectl does."""


@dataclass(frozen=True, slots=True)
class ResourceType:
    """A resource in one version; `preferred` in the version its group prefers."""

    group: str
    version: str
    plural: str
    singular: str
    kind: str
    namespaced: bool
    short_names: tuple[str, ...]
    categories: tuple[str, ...]
    verbs: tuple[str, ...]
    subresources: frozenset[str]
    preferred: bool = True

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def base(self) -> str:
        return f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"

    @property
    def group_resource(self) -> str:
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @property
    def prefix(self) -> str:
        """What stands before the slash in names that are printed: `deployment.apps`."""
        return f"{self.kind.lower()}.{self.group}" if self.group else self.kind.lower()

    def path(self, namespace: str = "", name: str = "", subresource: str = "") -> str:
        middle = f"/namespaces/{namespace}" if self.namespaced and namespace else ""
        tail = "".join(f"/{part}" for part in (name, subresource) if part)
        return f"{self.base}{middle}/{self.plural}{tail}"


@dataclass(frozen=True, slots=True)
class Catalog:
    types: tuple[ResourceType, ...]
    versions: tuple[str, ...]

    def find(self, word: str) -> ResourceType:
        """The type a word on the command line means. Raises UnknownResource."""
        name, _, rest = word.partition(".")
        for found in (self._named(name, rest, False), self._named(name, rest, True)):
            if found is not None:
                return found
        raise UnknownResource(f'the server doesn\'t have a resource type "{word}"')

    def _named(self, name: str, rest: str, with_version: bool) -> ResourceType | None:
        version, _, group = rest.partition(".") if with_version else ("", "", rest)
        lowered = name.lower()
        best: tuple[int, int, ResourceType] | None = None
        for place, one in enumerate(self.types):
            if with_version:
                if one.version != version or one.group != group:
                    continue
            elif not one.preferred or (group and one.group != group and not one.group.startswith(f"{group}.")):
                continue
            exact = lowered in (one.plural, one.singular, one.kind.lower())
            if not exact and lowered not in one.short_names:
                continue
            rank = (0 if exact else 1, place)
            if best is None or rank < best[:2]:
                best = (*rank, one)
        return best[2] if best else None

    def category(self, word: str) -> list[ResourceType]:
        return [one for one in self.types if one.preferred and word in one.categories]

    def of_object(self, obj: dict[str, Any]) -> ResourceType:
        """The type of an object in a file. Raises UnknownResource."""
        return self.of_kind(str(obj.get("apiVersion") or ""), str(obj.get("kind") or ""))

    def of_kind(self, api_version: str, kind: str) -> ResourceType:
        for one in self.types:
            if one.kind == kind and one.api_version == api_version:
                return one
        hint = "ensure CRDs are installed first"
        raise UnknownResource(f'no matches for kind "{kind}" in version "{api_version}"\n{hint}')


async def discover(client: RestClient) -> Catalog:
    """Two requests at once; groups whose own server is down are left out."""
    answers = await asyncio.gather(*(client.get_bytes(root, accept=AGGREGATED) for root in ("/api", "/apis")))
    return catalog(json.loads(answer) for answer in answers)


def catalog(documents: Iterable[dict[str, Any]]) -> Catalog:
    types: list[ResourceType] = []
    versions: list[str] = []
    for document in documents:
        for group in document.get("items") or ():
            name = str((group.get("metadata") or {}).get("name") or "")
            seen: set[str] = set()
            for version in group.get("versions") or ():
                number = str(version["version"])
                versions.append(f"{name}/{number}" if name else number)
                found = [_type(name, number, entry, entry["resource"] not in seen) for entry in version["resources"]]
                seen |= {one.plural for one in found}
                types += [one for one in found if one.kind]
    return Catalog(tuple(types), tuple(versions))


def _type(group: str, version: str, entry: dict[str, Any], preferred: bool) -> ResourceType:
    kind = (entry.get("responseKind") or {}).get("kind", "")
    return ResourceType(
        group,
        version,
        entry["resource"],
        entry.get("singularResource") or kind.lower(),
        kind,
        entry.get("scope") == "Namespaced",
        tuple(entry.get("shortNames") or ()),
        tuple(entry.get("categories") or ()),
        tuple(entry.get("verbs") or ()),
        frozenset(sub["subresource"] for sub in entry.get("subresources") or ()),
        preferred,
    )
