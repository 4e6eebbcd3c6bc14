"""The fake apiserver behind real HTTP, for a kubelet in a process of its own."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import parse_qsl

from apimachinery.errors import StatusError
from component_base.tasks import spawn
from tests.unit.kubelet.fake_api import FakeApi


class ServedApi:
    """An ASGI application over a FakeApi. Every access review is answered with yes."""

    def __init__(self, api: FakeApi) -> None:
        self._api = api
        self.user: str | None = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        body = b""
        while True:
            message = await receive()
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        params = dict(parse_qsl(scope["query_string"].decode()))
        if params.get("watch") == "true":
            await self._watch(scope["path"], params, receive, send)
            return
        try:
            answer = await self._answer(scope["method"], scope["path"], json.loads(body) if body else {}, params)
            code = 200
        except StatusError as error:
            answer, code = error.body(), error.code
        content = json.dumps(answer).encode()
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(content)).encode())]
        await send({"type": "http.response.start", "status": code, "headers": headers})
        await send({"type": "http.response.body", "body": content})

    async def _answer(self, method: str, path: str, body: Any, params: dict[str, str]) -> Any:
        if path.endswith("subjectaccessreviews"):
            self.user = body["spec"]["user"]
            return {**body, "status": {"allowed": True}}
        if path.endswith("/events"):
            self._api.events.append((body["type"], body["reason"], body["message"]))
            return body
        match method:
            case "GET":
                return await self._api.get(path, params)
            case "POST":
                return await self._api.create(path, body)
            case "PUT":
                return await self._api.replace(path, body)
            case "PATCH":
                return await self._api.patch(path, body)
        await self._api.delete(path)
        return {"kind": "Status", "status": "Success"}

    async def _watch(self, path: str, params: dict[str, str], receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"", "more_body": True})

        async def tell() -> None:
            async for kind, body in self._api.watch(path, params):
                line = b'{"type":"%s","object":%s}\n' % (kind.encode(), body)
                await send({"type": "http.response.body", "body": line, "more_body": True})

        task = spawn(tell(), "watch")
        try:
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    break
        finally:
            task.cancel()
