"""`pods/exec`, `pods/attach`, `pods/portforward`: the kubelet is told which container, then bytes are spliced."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from urllib.parse import urlencode

from apimachinery import errors
from apiserver.authz.denial import forbidden
from apiserver.ports import JSON, Attributes, Authorizer, Call, Receive, Scope, Send, Verdict
from apiserver.proxy.logs import is_true
from apiserver.proxy.splice import splice
from apiserver.proxy.target import Locator, choose_container
from apiserver.proxy.transport import Transport

#: API option -> kubelet parameter
SWITCHES = (("stdin", "input"), ("stdout", "output"), ("stderr", "error"), ("tty", "tty"))
MakePath = Callable[[Call, JSON], str]


class Stream:
    """One of the three; `make_path` gives the kubelet's path and query."""

    def __init__(self, locator: Locator, transport: Transport, authorizer: Authorizer, make_path: MakePath) -> None:
        self._locator = locator
        self._transport = transport
        self._authorizer = authorizer
        self._make_path = make_path

    async def __call__(self, call: Call, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] not in ("GET", "POST"):
            raise errors.method_not_allowed()
        await self._require_create(call)
        pod = await self._locator.pod(call.namespace, call.name)
        path = self._make_path(call, pod)
        node = pod["spec"].get("nodeName")
        if not node:
            raise errors.bad_request(f"pod {call.name} does not have a host assigned")
        target = await self._locator.kubelet(node)
        await splice(self._transport, replace(target, path=path), scope)

    async def _require_create(self, call: Call) -> None:
        """WebSockets begin with GET: whoever may only `get` must not run commands by asking that way."""
        if call.verb == "create":
            return
        question = Attributes(
            call.user,
            "create",
            version=call.info.version,
            resource=call.info.plural,
            subresource=call.subresource,
            namespace=call.namespace,
            name=call.name,
        )
        verdict, reason = await self._authorizer.authorize(question)
        if verdict is not Verdict.ALLOW:
            raise forbidden(question, reason)


def exec_path(call: Call, pod: JSON) -> str:
    container = choose_container(pod, first(call.query, "container"))
    query = [*_switches(call.query), *((key, value) for key, value in call.query if key == "command")]
    return f"/exec/{call.namespace}/{call.name}/{container}?{urlencode(query)}"


def attach_path(call: Call, pod: JSON) -> str:
    container = choose_container(pod, first(call.query, "container"))
    return f"/attach/{call.namespace}/{call.name}/{container}?{urlencode(_switches(call.query))}"


def port_forward_path(call: Call, pod: JSON) -> str:
    ports = ",".join(value for key, value in call.query if key == "ports")
    path = f"/portForward/{call.namespace}/{call.name}"
    return f"{path}?{urlencode([('port', ports)])}" if ports else path


def _switches(query: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    return [(theirs, "1") for ours, theirs in SWITCHES if is_true(first(query, ours))]


def first(query: Sequence[tuple[str, str]], key: str) -> str:
    return next((value for name, value in query if name == key), "")
