"""An apiserver within the test: keeps objects, versions them, tells watchers, deletes with grace."""

from __future__ import annotations

import asyncio
import copy
import json
from collections.abc import AsyncIterator, Mapping
from typing import Any

from apimachinery.errors import StatusError

JSON = dict[str, Any]


class FakeApi:
    def __init__(self) -> None:
        self.objects: dict[str, JSON] = {}
        self.version = 0
        self.calls: list[tuple[str, str]] = []
        self.events: list[tuple[str, str, str]] = []
        self._watchers: list[tuple[str, Mapping[str, str], asyncio.Queue[tuple[str, bytes]]]] = []

    def put(self, path: str, body: JSON) -> JSON:
        """Stores an object as a server would have: with uid and version."""
        body = copy.deepcopy(body)
        self.version += 1
        meta = body.setdefault("metadata", {})
        meta.setdefault("uid", f"uid-{meta['name']}")
        meta.setdefault("creationTimestamp", "2026-01-01T00:00:00Z")
        meta["resourceVersion"] = str(self.version)
        kind = "MODIFIED" if path in self.objects else "ADDED"
        self.objects[path] = body
        self._tell(kind, path, body)
        return copy.deepcopy(body)

    def pod(self, name: str, spec: JSON, namespace: str = "default", **meta: Any) -> str:
        path = f"/api/v1/namespaces/{namespace}/pods/{name}"
        spec = {"nodeName": "node-1", "terminationGracePeriodSeconds": 2, **spec}
        spec["containers"] = [{"image": "registry.k8s.io/busybox:1.36", **c} for c in spec["containers"]]
        metadata = {"name": name, "namespace": namespace, "generation": 1, **meta}
        self.put(path, {"kind": "Pod", "apiVersion": "v1", "metadata": metadata, "spec": spec, "status": {}})
        return path

    def status(self, path: str) -> JSON:
        status: JSON = self.objects[path]["status"]
        return status

    def condition(self, path: str, kind: str) -> str:
        found = [c for c in self.objects[path]["status"].get("conditions") or () if c["type"] == kind]
        return str(found[0]["status"]) if found else ""

    def condition_of_node(self, kind: str, name: str = "node-1") -> str:
        path = f"/api/v1/nodes/{name}"
        return self.condition(path, kind) if path in self.objects else ""

    def delete_pod(self, path: str, grace: int | None = None) -> None:
        body = copy.deepcopy(self.objects[path])
        body["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
        body["metadata"]["deletionGracePeriodSeconds"] = (
            body["spec"]["terminationGracePeriodSeconds"] if grace is None else grace
        )
        self.put(path, body)

    def drop(self, path: str) -> None:
        body = self.objects.pop(path)
        self.version += 1
        body["metadata"]["resourceVersion"] = str(self.version)
        self._tell("DELETED", path, body)

    def _tell(self, kind: str, path: str, body: JSON) -> None:
        for prefix, params, queue in self._watchers:
            if _belongs(path, prefix) and _selected(body, params):
                queue.put_nowait((kind, json.dumps(body).encode()))

    async def get(self, path: str, params: Mapping[str, str] | None = None) -> JSON:
        self.calls.append(("GET", path))
        if path in self.objects:
            return copy.deepcopy(self.objects[path])
        if path.rpartition("/")[2] in ("pods", "services", "configmaps", "secrets", "nodes"):
            items = [o for p, o in self.objects.items() if _belongs(p, path) and _selected(o, params or {})]
            return {"kind": "List", "metadata": {"resourceVersion": str(self.version)}, "items": copy.deepcopy(items)}
        raise StatusError(404, "NotFound", f"{path} not found")

    async def create(self, path: str, body: JSON) -> JSON:
        self.calls.append(("POST", path))
        if path.endswith("/token"):
            return {"status": {"token": "a-token", "expirationTimestamp": "2027-01-01T00:00:00Z"}}
        full = f"{path}/{body['metadata']['name']}"
        if full in self.objects:
            raise StatusError(409, "AlreadyExists", f"{full} already exists")
        return self.put(full, body)

    async def replace(self, path: str, body: JSON) -> JSON:
        self.calls.append(("PUT", path))
        return self.put(path.removesuffix("/status"), body)

    async def patch(self, path: str, body: JSON, content_type: str = "") -> JSON:
        self.calls.append(("PATCH", path))
        main = path.removesuffix("/status")
        if main not in self.objects:
            raise StatusError(404, "NotFound", f"{main} not found")
        current = self.objects[main]
        wanted = body.get("metadata", {}).get("uid")
        if wanted and wanted != current["metadata"]["uid"]:
            raise StatusError(409, "Conflict", "the uid is another")
        return self.put(main, merge(current, body))

    async def delete(self, path: str, body: JSON | None = None) -> None:
        self.calls.append(("DELETE", path))
        if path not in self.objects:
            raise StatusError(404, "NotFound", f"{path} not found")
        self.drop(path)

    async def watch(self, path: str, params: Mapping[str, str]) -> AsyncIterator[tuple[str, bytes]]:
        queue: asyncio.Queue[tuple[str, bytes]] = asyncio.Queue()
        since = int(params.get("resourceVersion") or 0)
        for full, body in self.objects.items():
            newer = int(body["metadata"]["resourceVersion"]) > since
            if newer and _belongs(full, path) and _selected(body, params):
                queue.put_nowait(("MODIFIED", json.dumps(body).encode()))
        entry = (path, params, queue)
        self._watchers.append(entry)
        try:
            while True:
                yield await queue.get()
        finally:
            self._watchers.remove(entry)


def _belongs(path: str, collection: str) -> bool:
    """/api/v1/pods holds /api/v1/namespaces/x/pods/y too."""
    if path.rpartition("/")[0] == collection:
        return True
    words = collection.strip("/").split("/")
    return len(words) == 3 and path.startswith("/api/v1/namespaces/") and path.split("/")[-2] == words[2]


def _selected(body: JSON, params: Mapping[str, str]) -> bool:
    for part in filter(None, (params.get("fieldSelector") or "").split(",")):
        field, _, value = part.partition("=")
        current: Any = body
        for word in field.split("."):
            current = (current or {}).get(word)
        if current != value:
            return False
    return True


def merge(old: JSON, patch: JSON) -> JSON:
    """As much of a strategic merge patch as the kubelet sends."""
    out = copy.deepcopy(old)
    for key, value in patch.items():
        if value is None:
            out.pop(key, None)
        elif isinstance(value, dict) and isinstance(out.get(key), dict):
            out[key] = merge(out[key], value)
        elif key == "conditions":
            table = {c["type"]: c for c in out.get(key) or ()}
            out[key] = list((table | {c["type"]: merge(table.get(c["type"], {}), c) for c in value}).values())
        elif isinstance(value, list):
            out[key] = [v for v in value if v != {"$patch": "replace"}]
        else:
            out[key] = copy.deepcopy(value)
    return out


class RecordedEvents:
    def __init__(self) -> None:
        self.seen: list[tuple[str, str, str]] = []

    def event(self, reference: JSON, kind: str, reason: str, message: str) -> None:
        self.seen.append((kind, reason, message))

    @property
    def reasons(self) -> list[str]:
        return [reason for _, reason, _ in self.seen]
