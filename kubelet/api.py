"""The kubelet's port to the apiserver: plain JSON over REST paths. Tests bring one that keeps objects in memory.

Paths are the API's own ("/api/v1/namespaces/x/pods/y"); failures are StatusErrors.
"""

from collections.abc import AsyncIterator, Mapping
from typing import Any, Protocol

JSON = dict[str, Any]
MERGE = "application/merge-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"


class Api(Protocol):
    async def get(self, path: str, params: Mapping[str, str] | None = None) -> JSON: ...
    async def create(self, path: str, body: JSON) -> JSON: ...
    async def replace(self, path: str, body: JSON) -> JSON: ...
    async def patch(self, path: str, body: JSON, content_type: str = STRATEGIC) -> JSON: ...
    async def delete(self, path: str, body: JSON | None = None) -> Any: ...
    def watch(self, path: str, params: Mapping[str, str]) -> AsyncIterator[tuple[str, bytes]]:
        """(ADDED | MODIFIED | DELETED | BOOKMARK | ERROR, the object's bytes) until the stream ends."""
        ...


def pod_path(namespace: str, name: str, subresource: str = "") -> str:
    tail = f"/{subresource}" if subresource else ""
    return f"/api/v1/namespaces/{namespace}/pods/{name}{tail}"


def node_path(name: str, subresource: str = "") -> str:
    tail = f"/{subresource}" if subresource else ""
    return f"/api/v1/nodes/{name}{tail}"
