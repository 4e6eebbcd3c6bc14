"""Admission by other servers: mutating webhooks one after the other, validating ones side by side."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, ClassVar

import orjson

from apimachinery import conversion, defaults, errors
from apimachinery.errors import StatusError
from apimachinery.patch import json_patch
from apimachinery.resources import ResourceInfo
from apimachinery.schema.decode import typed
from apimachinery.schema.nodes import DecodeError
from apimachinery.selectors import Selector
from apiserver.admission import webhook_metrics as metrics
from apiserver.admission.chain import Plugin, known, refuse
from apiserver.ports import AdmissionRequest, Authorizer, Objects, Operation
from apiserver.registry.catalog import Catalog
from apiserver.webhooks import audit, review
from apiserver.webhooks.client import WebhookClient, WebhookError, hook_of
from apiserver.webhooks.hooks import Asked, Hooks, Invocation, Webhook
from component_base.clock import Clock

log = logging.getLogger(__name__)

JSON = dict[str, Any]
#: Decides about the match conditions of a webhook: the object and the old one as the webhook would see them.
Conditions = Callable[[Invocation, AdmissionRequest, JSON | None, JSON | None], Awaitable[bool]]


class CallFailed(Exception):
    """No verdict came: what happens then is the failure policy's to say."""

    def __init__(self, hook: Webhook, why: str) -> None:
        super().__init__(f'failed calling webhook "{hook.name}": {why}')


class Caller:
    """What both kinds of webhooks share: whom a request concerns, and one call."""

    def __init__(
        self, hooks: Hooks, objects: Objects, client: WebhookClient, conditions: Conditions, clock: Clock
    ) -> None:
        self.hooks = hooks
        self.clock = clock
        self._objects = objects
        self._client = client
        self._conditions = conditions

    def candidates(self, request: AdmissionRequest) -> tuple[Invocation, ...]:
        if self.hooks.is_empty:
            return ()
        namespaced = bool(request.namespace) and request.info.group_resource != "namespaces"
        return self.hooks.candidates(Asked(request.info, request.subresource, request.operation, namespaced))

    async def concerns(self, invocation: Invocation, request: AdmissionRequest) -> bool:
        """Beyond the rules: selectors and conditions. Raises StatusError 404, 403."""
        hook = invocation.hook
        if not selects(hook.objects, request) or not await self._in_namespace(hook.namespaces, request):
            return False
        if not hook.conditions:
            return True
        return await self._conditions(invocation, request, *await self.seen(invocation, request))

    async def _in_namespace(self, selector: Selector, request: AdmissionRequest) -> bool:
        is_namespace = request.info.group_resource == "namespaces"
        if selector.is_everything or not (request.namespace or is_namespace):
            return True
        if is_namespace and not request.subresource and request.operation in (Operation.CREATE, Operation.UPDATE):
            namespace: JSON | None = request.obj
        else:
            name, info = review.namespace_of(request), known("", "v1", "namespaces")
            namespace = self._objects.get(info, "", name) or await self._objects.get_latest(info, "", name)
            if namespace is None:
                raise errors.not_found("namespaces", "", name)
        return selector.matches(labels_of(namespace))

    async def seen(self, invocation: Invocation, request: AdmissionRequest) -> tuple[JSON | None, JSON | None]:
        """The object and the old one in the version that the webhook asked for."""
        return await seen_as(invocation.info, request)

    async def call(self, invocation: Invocation, request: AdmissionRequest, mutating: bool) -> review.Answer:
        """The verdict. Raises CallFailed, or StatusError for a dry run that the webhook is not made for."""
        hook = invocation.hook
        if request.dry_run and hook.side_effects not in ("None", "NoneOnDryRun"):
            raise errors.bad_request(f'admission webhook "{hook.name}" does not support dry run')
        try:
            question = review.review_of(request, invocation, *await self.seen(invocation, request))
        except (review.BadReview, ValueError) as error:
            raise CallFailed(hook, f"could not create admission objects: {error}") from error
        try:
            body = await self._client.call(hook_of(hook.client_config), question.body, hook.timeout)
        except WebhookError as error:
            raise CallFailed(hook, f"failed to call webhook: {error}") from error
        try:
            answer = review.read(question, body, mutating)
        except review.BadReview as error:
            raise CallFailed(hook, f"received invalid webhook response: {error}") from error
        request.warnings.extend(answer.warnings)
        for key, value in answer.annotations.items():
            request.annotations.setdefault(f"{hook.name}/{key}", value)
        return answer


class Webhooks(Plugin):
    """One of the two plugins. Costs a look into a dictionary where no rule matches."""

    kind: ClassVar[str]
    noted_as: ClassVar[str]
    """Begins the keys of audit annotations."""
    operations: ClassVar[frozenset[Operation]] = frozenset(Operation)

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    async def _ask(
        self,
        invocation: Invocation,
        request: AdmissionRequest,
        index: int,
        then: Callable[[review.Answer], Awaitable[None]] | None = None,
    ) -> None:
        """Asks one webhook, the `index`th, and does `then` with what it allows. Raises StatusError for refusals."""
        hook = invocation.hook
        started = self._caller.clock.monotonic()
        code, refused = 200, ""
        try:
            answer = await self._caller.call(invocation, request, then is not None)
            if not answer.allowed:
                code, refused = 400, "no_error"
                raise review.denial(hook.name, answer.result)
            if then is not None:
                await then(answer)
        except CallFailed as error:
            code = 500
            if hook.ignore_failures:
                log.warning("%s; its failure policy lets the request pass", error)
                metrics.FAIL_OPEN.labels(hook.name, self.kind).inc()
                audit.note_failure(request, self.noted_as, index, hook)
                return
            log.warning("%s; the request is refused", error)
            refused = "calling_webhook_error"
            raise errors.internal(error) from None
        except StatusError as error:
            code, refused = error.code, refused or "apiserver_internal_error"
            raise
        finally:
            seconds = self._caller.clock.monotonic() - started
            metrics.observe(hook.name, self.kind, request.operation.value, seconds, code, refused)


class MutatingWebhooks(Webhooks):
    name: ClassVar[str] = "MutatingAdmissionWebhook"
    kind: ClassVar[str] = "admit"
    noted_as: ClassVar[str] = audit.MUTATING

    async def mutate(self, request: AdmissionRequest) -> None:
        candidates = self._caller.candidates(request)
        if not candidates:
            return
        turn: Turn = request.memory.setdefault(self.name, Turn())
        if request.again and turn.output != encoded(request.obj):
            turn.all_again()
        for index, invocation in enumerate(candidates):
            hook = invocation.hook
            if not await self._caller.concerns(invocation, request):
                continue
            if request.again and hook.key not in turn.due:
                continue
            if await self._change(invocation, request, index):
                turn.all_again()
                request.changed = True
            if hook.reinvoke:
                turn.called.add(hook.key)
        turn.output = encoded(request.obj)

    async def _change(self, invocation: Invocation, request: AdmissionRequest, index: int) -> bool:
        """Asks one webhook; whether it has changed the object."""
        before, patch, changed = encoded(request.obj), b"", False

        async def then(answer: review.Answer) -> None:
            nonlocal patch
            patch = answer.patch
            await apply(invocation, request, answer)

        try:
            await self._ask(invocation, request, index, then)
            changed = encoded(request.obj) != before
        finally:
            audit.note_mutation(request, index, invocation.hook, patch, changed)
        return changed


class ValidatingWebhooks(Webhooks):
    name: ClassVar[str] = "ValidatingAdmissionWebhook"
    kind: ClassVar[str] = "validating"
    noted_as: ClassVar[str] = audit.VALIDATING

    async def validate(self, request: AdmissionRequest) -> None:
        candidates = self._caller.candidates(request)
        if not candidates:
            return
        concerned = [(one, at) for at, one in enumerate(candidates) if await self._caller.concerns(one, request)]
        if len(concerned) == 1:
            await self._ask(concerned[0][0], request, concerned[0][1])
            return
        found = await asyncio.gather(*(self._ask(one, request, at) for one, at in concerned), return_exceptions=True)
        for one in found:
            if isinstance(one, BaseException):
                raise one


def makers(
    objects: Objects, client: WebhookClient, catalog: Catalog, clock: Clock, authorizer: Authorizer
) -> Mapping[str, Callable[[], Plugin]]:
    """Of both plugins, for the chain."""

    def caller(plural: str) -> Caller:
        hooks = Hooks(objects, plural, lambda: catalog, lambda: catalog.generation)
        return Caller(hooks, objects, client, conditions_by(authorizer), clock)

    return {
        MutatingWebhooks.name: lambda: MutatingWebhooks(caller("mutatingwebhookconfigurations")),
        ValidatingWebhooks.name: lambda: ValidatingWebhooks(caller("validatingwebhookconfigurations")),
    }


def conditions_by(authorizer: Authorizer) -> Conditions:
    """Evaluates match conditions; expressions may ask the authorizer."""

    async def match(invocation: Invocation, request: AdmissionRequest, obj: JSON | None, old: JSON | None) -> bool:
        # Most clusters have no match conditions: the language is loaded for those that do.
        from apiserver.admission.policies.bindings import conditions_match

        hook = invocation.hook
        found = await conditions_match(
            hook.compiled_conditions(), request, invocation.info, (obj, old), authorizer, fail=not hook.ignore_failures
        )
        if found.error:
            log.warning("match conditions of webhook %s failed, the request is refused: %s", hook.name, found.error)
            raise refuse(request, found.error)
        return found.matches

    return match


class Turn:
    """Which mutating webhooks are asked a second time: those that want it, once something has changed after them."""

    def __init__(self) -> None:
        self.called: set[tuple[str, str, int]] = set()
        self.due: set[tuple[str, str, int]] = set()
        self.output = b""

    def all_again(self) -> None:
        self.due |= self.called
        self.called.clear()


async def seen_as(info: ResourceInfo, request: AdmissionRequest) -> tuple[JSON | None, JSON | None]:
    """The object of a request and the old one in another version of their resource."""
    obj, old = request.obj, request.old
    if request.kind is not None:
        return obj, old
    named = _typed_as(request.info)
    return (
        None if obj is None else await between({**obj, **named}, info),
        None if old is None else await between({**old, **named}, info),
    )


def encoded(obj: JSON | None) -> bytes:
    return orjson.dumps(obj, option=orjson.OPT_SORT_KEYS)


def selects(selector: Selector, request: AdmissionRequest) -> bool:
    """By the labels of the object as it was or as it shall be."""
    if selector.is_everything:
        return True
    return any(
        selector.matches(labels_of(obj)) for obj in (request.obj, request.old) if obj is not None and "metadata" in obj
    )


def labels_of(obj: JSON | None) -> dict[str, str]:
    return ((obj or {}).get("metadata") or {}).get("labels") or {}


async def apply(invocation: Invocation, request: AdmissionRequest, answer: review.Answer) -> None:
    """The webhook's patch, made in place. Raises CallFailed, or StatusError 500 for a patch that does not fit."""
    hook = invocation.hook
    if not answer.patch:
        return
    try:
        operations, _ = json_patch.decode(answer.patch)
    except StatusError as error:
        raise CallFailed(hook, f"received undecodable patch in webhook response: {error.message}") from None
    if not operations:
        return
    if request.obj is None:
        why = "attempted to modify the object, which is not supported for this operation"
        raise errors.internal(f'admission webhook "{hook.name}" {why}')
    if answer.patch_type != "JSONPatch":
        raise CallFailed(hook, f'unsupported patch type "{answer.patch_type}"')
    seen, _ = await seen_as(invocation.info, request)
    try:
        patched = json_patch.apply(seen, operations)
    except json_patch.PatchError as error:
        raise errors.internal(error) from None
    await replace(request, invocation.info, patched)


async def replace(request: AdmissionRequest, info: ResourceInfo, patched: Any) -> None:
    """Put what a patch made of the object in its place; it is of the version of `info`. Raises StatusError 500."""
    assert request.obj is not None
    try:
        new = typed(_Kind(request.kind) if request.kind is not None else info, patched).obj
    except DecodeError as error:
        raise errors.internal(error) from None
    if request.kind is None:
        defaults.apply(info, new)
        new = await between(new, request.info)
    request.obj.clear()
    request.obj.update(new)


class _Kind:
    def __init__(self, names: tuple[str, str, str]) -> None:
        self.group, self.version, self.kind = names


def _typed_as(info: ResourceInfo) -> JSON:
    return {"kind": info.kind, "apiVersion": info.api_version}


async def between(obj: JSON, info: ResourceInfo) -> JSON:
    """The object in another version of its resource. Raises StatusError where a conversion webhook refuses."""
    if obj["apiVersion"] == info.api_version:
        return obj
    if info.custom is None:
        return conversion.convert(obj, info.api_version)
    if info.custom.convert is None:
        return info.custom.renamed(obj)
    (converted,) = await info.custom.convert([obj])
    return converted
