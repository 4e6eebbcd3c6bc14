"""A tiny REST server in memory, behind httpx's transport port: enough of list, watch and write for client tests."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx

from apimachinery import errors
from kubeclient.kubeconfig import KubeConfig
from kubeclient.rest import RestClient


class _Stream(httpx.AsyncByteStream):
    def __init__(self, chunks: AsyncIterator[bytes]) -> None:
        self._chunks = chunks

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for chunk in self._chunks:
            yield chunk


class MemoryApi(httpx.AsyncBaseTransport):
    """Objects by path. `log` lists the requests, `refuse` holds the next answers, `drop` ends the watches."""

    def __init__(self) -> None:
        self.objects: dict[str, dict[str, Any]] = {}
        self.revision = 1
        self.log: list[str] = []
        self.refuse: list[errors.StatusError] = []
        self.history: list[tuple[int, str, dict[str, Any], str]] = []
        self._watchers: list[tuple[str, asyncio.Queue[bytes | None]]] = []
        self.oldest = 0

    def client(self) -> RestClient:
        return RestClient(KubeConfig("http://memory"), transport=self)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.log.append(f"{request.method} {request.url.path}")
        if self.refuse:
            return self._answer_error(self.refuse.pop(0))
        body = json.loads(request.content) if request.content else {}
        try:
            return self._serve(request, body)
        except errors.StatusError as error:
            return self._answer_error(error)

    def _serve(self, request: httpx.Request, body: dict[str, Any]) -> httpx.Response:
        path, query = request.url.path, request.url.params
        if query.get("watch") == "true":
            return self._watch(path, int(query.get("resourceVersion", "0")))
        match request.method:
            case "POST":
                return self._json(self.put(f"{path}/{body['metadata']['name']}", body, new=True))
            case "PUT":
                return self._json(self.put(path, body))
            case "PATCH":
                target = path.removesuffix("/status")
                merged = {**self._find(target), **body}
                merged["metadata"] = {**self._find(target)["metadata"], **body.get("metadata", {})}
                return self._json(self.put(target, merged))
            case "DELETE":
                return self._json(self.remove(path))
        if path in self.objects:
            return self._json(self.objects[path])
        items = [o for p, o in self.objects.items() if p.rsplit("/", 1)[0] == path]
        if not items and path.rsplit("/", 1)[1] not in ("pods", "leases"):
            self._find(path)
        return self._json({"kind": "List", "metadata": {"resourceVersion": str(self.revision)}, "items": items})

    def _find(self, path: str) -> dict[str, Any]:
        if path not in self.objects:
            raise errors.not_found("things", "", path.rsplit("/", 1)[1])
        return self.objects[path]

    def put(self, path: str, body: dict[str, Any], new: bool = False) -> dict[str, Any]:
        old = self.objects.get(path)
        if old is not None and new:
            raise errors.already_exists("things", "", path.rsplit("/", 1)[1])
        wanted = body["metadata"].get("resourceVersion")
        if old is not None and wanted and wanted != old["metadata"]["resourceVersion"]:
            raise errors.modified("things", "", path.rsplit("/", 1)[1])
        self.revision += 1
        stored = {**body, "metadata": {**body["metadata"], "resourceVersion": str(self.revision)}}
        self.objects[path] = stored
        self._emit("MODIFIED" if old else "ADDED", path, stored)
        return stored

    def remove(self, path: str) -> dict[str, Any]:
        gone = self._find(path)
        del self.objects[path]
        self.revision += 1
        gone = {**gone, "metadata": {**gone["metadata"], "resourceVersion": str(self.revision)}}
        self._emit("DELETED", path, gone)
        return gone

    def drop(self) -> None:
        for _, queue in self._watchers:
            queue.put_nowait(None)
        self._watchers.clear()

    def _emit(self, kind: str, path: str, body: dict[str, Any]) -> None:
        self.history.append((self.revision, kind, body, path))
        for collection, queue in self._watchers:
            if path.rsplit("/", 1)[0] == collection:
                queue.put_nowait(_line(kind, body))

    def _watch(self, path: str, since: int) -> httpx.Response:
        if since < self.oldest:
            raise errors.expired("too old resource version")
        queue: asyncio.Queue[bytes | None] = asyncio.Queue()
        for revision, kind, body, where in self.history:
            if revision > since and where.rsplit("/", 1)[0] == path:
                queue.put_nowait(_line(kind, body))
        self._watchers.append((path, queue))

        async def chunks() -> AsyncIterator[bytes]:
            while (line := await queue.get()) is not None:
                # In two pieces, as networks do.
                yield line[:5]
                yield line[5:]

        return httpx.Response(200, stream=_Stream(chunks()))

    @staticmethod
    def _json(body: dict[str, Any]) -> httpx.Response:
        return httpx.Response(200, json=body)

    @staticmethod
    def _answer_error(error: errors.StatusError) -> httpx.Response:
        return httpx.Response(error.code, json=error.body())


def _line(kind: str, body: dict[str, Any]) -> bytes:
    return json.dumps({"type": kind, "object": body}).encode() + b"\n"
