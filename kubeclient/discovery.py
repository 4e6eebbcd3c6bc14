"""Which resources an apiserver serves, by aggregated discovery: two requests for everything (KEP-3352)."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from kubeclient.rest import RestClient

AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"


@dataclass(frozen=True, slots=True)
class Resource:
    """One resource in the version its group prefers, without subresources."""

    group: str
    version: str
    plural: str
    kind: str
    namespaced: bool
    verbs: frozenset[str]

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def base(self) -> str:
        return f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"

    @property
    def collection(self) -> str:
        """All objects of all namespaces."""
        return f"{self.base}/{self.plural}"

    def path(self, namespace: str = "", name: str = "") -> str:
        middle = f"/namespaces/{namespace}" if self.namespaced and namespace else ""
        tail = f"/{name}" if name else ""
        return f"{self.base}{middle}/{self.plural}{tail}"


async def resources(client: RestClient) -> list[Resource]:
    """Raises StatusError when discovery as a whole fails; groups whose own server is down are left out."""
    found: dict[tuple[str, str], Resource] = {}
    for root in ("/api", "/apis"):
        document = json.loads(await client.get_bytes(root, accept=AGGREGATED))
        for group in document.get("items") or ():
            name = str((group.get("metadata") or {}).get("name") or "")
            for version in group.get("versions") or ():
                for entry in version.get("resources") or ():
                    resource = _resource(name, str(version["version"]), entry)
                    if resource.kind:
                        found.setdefault((name, resource.plural), resource)
    return list(found.values())


def _resource(group: str, version: str, entry: dict[str, Any]) -> Resource:
    kind = (entry.get("responseKind") or {}).get("kind", "")
    return Resource(
        group, version, entry["resource"], kind, entry.get("scope") == "Namespaced", frozenset(entry.get("verbs") or ())
    )
