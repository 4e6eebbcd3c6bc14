"""`GET pods/NAME/log`: checks the options, asks the kubelet, passes its text on as it comes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from apimachinery import errors, timestamps
from apimachinery.fields import FieldError, Path, forbidden, invalid, not_supported
from apiserver.messages import BASE64, BINARY, MessageAnswer, wants_messages
from apiserver.ports import Call, Receive, Scope, Send
from apiserver.proxy.presence import while_present
from apiserver.proxy.target import Locator, choose_container
from apiserver.proxy.transport import Transport, dial_failed
from component_base.lazy import lazily

if TYPE_CHECKING:
    import httpx
else:
    httpx = lazily("httpx")

STREAMS = ("All", "Stderr", "Stdout")
ERROR_BYTES = 50_000
TRUE = ("1", "t", "T", "true", "TRUE", "True")


class Logs:
    def __init__(self, locator: Locator, transport: Transport) -> None:
        self._locator = locator
        self._transport = transport

    async def __call__(self, call: Call, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] != "GET":
            raise errors.method_not_allowed()
        in_messages = wants_messages(scope)
        if in_messages:
            send = MessageAnswer(scope, (BINARY, BASE64)).send
        query = kubelet_query(call.name, call.query)
        asked = dict(reversed(call.query))
        pod = await self._locator.pod(call.namespace, call.name)
        container = choose_container(pod, asked.get("container", ""))
        node = pod["spec"].get("nodeName")
        if not node:
            await start(send)
            await send({"type": "http.response.body", "body": b""})
            return
        target = await self._locator.kubelet(node)
        if is_true(asked.get("insecureSkipTLSVerifyBackend", "")):
            target = replace(target, verify=False)
        path = f"/containerLogs/{call.namespace}/{call.name}/{container}"
        client = await self._transport.client(target)
        request = client.build_request("GET", f"https://{target.authority}{path}?{urlencode(query)}")
        try:
            response = await client.send(request, stream=True)
        except httpx.TransportError as error:
            raise dial_failed(target, error) from error
        try:
            if not 200 <= response.status_code <= 206:
                raise await refusal(response, call.name)
            await start(send)
            pumping = _pump(response, send)
            await (pumping if in_messages else while_present(receive, pumping))
        except ConnectionError:
            pass  # the client has left
        finally:
            await response.aclose()


async def start(send: Send) -> None:
    headers = [(b"content-type", b"text/plain"), (b"cache-control", b"no-cache, private")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})


async def _pump(response: httpx.Response, send: Send) -> None:
    try:
        async for chunk in response.aiter_bytes():
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
    except httpx.TransportError:
        pass  # the kubelet has gone: what was read is what there is
    await send({"type": "http.response.body", "body": b""})


async def refusal(response: httpx.Response, name: str) -> errors.StatusError:
    """The kubelet's plain text as a Status."""
    text = ""
    async for chunk in response.aiter_text():
        text += chunk
        if len(text) >= ERROR_BYTES:
            break
    if response.status_code == 500:
        return errors.internal(text)
    if response.status_code == 400:
        return errors.bad_request(text)
    error = errors.from_body(response.status_code, text)
    error.message = f"{error.message} ( pods/log {name})"
    error.details = {"name": name, "kind": "pods/log"}
    return error


def kubelet_query(name: str, pairs: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """The kubelet's query for PodLogOptions. Raises StatusError 400 for what cannot be read, 422 for what is wrong."""
    asked = dict(reversed(pairs))
    query = [(key, "true") for key in ("follow", "previous", "timestamps") if is_true(asked.get(key, ""))]
    found: list[FieldError] = []
    at_least: tuple[tuple[str, Callable[[int], bool], str], ...] = (
        ("tailLines", lambda number: number >= 0, "must be greater than or equal to 0"),
        ("limitBytes", lambda number: number >= 1, "must be greater than 0"),
        ("sinceSeconds", lambda number: number >= 1, "must be greater than 0"),
    )
    for key, fits, detail in at_least:
        if not asked.get(key):
            continue
        number = _number(asked[key])
        if not fits(number):
            found.append(invalid(Path(key), number, detail))
        query.append((key, str(number)))
    if asked.get("sinceTime"):
        if asked.get("sinceSeconds"):
            found.append(forbidden(Path(""), "at most one of `sinceTime` or `sinceSeconds` may be specified"))
        query.append(("sinceTime", timestamps.format(_time(asked["sinceTime"]))))
    stream = asked.get("stream") or "All"
    if stream not in STREAMS:
        found.append(not_supported(Path("stream"), stream, STREAMS))
    elif stream != "All" and asked.get("tailLines"):
        found.append(forbidden(Path(""), "`tailLines` and specific `stream` are mutually exclusive for now"))
    if found:
        raise errors.invalid("", "PodLogOptions", name, found)
    if stream != "All":
        query.append(("stream", stream))
    return query


def is_true(text: str) -> bool:
    return text in TRUE


def _number(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise errors.bad_request(f'strconv.ParseInt: parsing "{text}": invalid syntax') from None


def _time(text: str) -> float:
    try:
        return timestamps.parse(text)
    except ValueError as error:
        raise errors.bad_request(str(error)) from None
