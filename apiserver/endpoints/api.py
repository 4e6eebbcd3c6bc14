"""The API of resources as a raw ASGI application: who asks, may they, which verb answers."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable

from apimachinery import errors
from apimachinery.errors import StatusError
from apimachinery.resources import ResourceInfo
from apiserver.endpoints import binding, components, connect, create, delete, get, patch, subresources, update, watch
from apiserver.endpoints import list as listing
from apiserver.endpoints.core import Core
from apiserver.endpoints.exchange import Exchange
from component_base.rpc import Code, RpcError

log = logging.getLogger(__name__)

Handler = Callable[[Core, Exchange, ResourceInfo], Awaitable[None]]
_VERBS: dict[str, Handler] = {
    "get": get.get,
    "list": listing.list_objects,
    "watch": watch.watch,
    "create": create.create,
    "update": update.update,
    "patch": patch.patch,
    "delete": delete.delete,
    "deletecollection": delete.delete_collection,
}
_DEPRECATED = {
    "componentstatuses": "v1 ComponentStatus is deprecated in v1.19+",
    "endpoints": "v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice",
}


async def dispatch(core: Core, exchange: Exchange) -> None:
    """Answers an authorised request for a resource. Raises StatusError."""
    target = exchange.target
    info = core.catalog.find(target.group, target.version, target.resource)
    if info is None and not core.catalog.is_builtin_version(target.group, target.version):
        # Another apiserver may have just established it: what is in the store is what counts.
        await core.feed.fresh()
        info = core.catalog.find(target.group, target.version, target.resource)
    if info is None:
        if not core.catalog.is_builtin_version(target.group, target.version):
            await exchange.answer_no_page()
            return
        raise errors.path_not_found()
    if (deprecation := _DEPRECATED.get(info.group_resource)) is not None:
        exchange.warnings.append(deprecation)
    if info.custom is not None:
        await custom(core, exchange, info)
    if target.subresource:
        await subresource(core, exchange, info)
        return
    if exchange.method in ("HEAD", "OPTIONS"):
        raise errors.method_not_allowed()
    if target.verb == "create" and target.name:
        raise errors.method_not_allowed()
    if target.verb in ("update", "patch") and not target.name:
        raise errors.method_not_allowed()
    if (info.plural, "") in core.answerers and target.verb == "create":
        await connect.answer(core, exchange, info)
        return
    if info.kind == "Binding" and not info.group and target.verb == "create":
        await binding.bind_legacy(core, exchange, info)
        return
    if info.kind == "ComponentStatus" and target.verb in ("get", "list"):
        await components.read(core, exchange, info)
        return
    handler = _VERBS.get(target.verb)
    if handler is None or target.verb not in info.verbs or not info.is_stored:
        raise errors.method_not_allowed()
    if info.namespaced and not target.namespace and target.verb not in ("list", "watch"):
        raise errors.method_not_allowed()
    await handler(core, exchange, info)


async def custom(core: Core, exchange: Exchange, info: ResourceInfo) -> None:
    """What comes before requests for custom resources. Raises StatusError 404."""
    target, definition = exchange.target, info.custom
    assert definition is not None
    if bool(target.namespace) is not info.namespaced and (target.namespace or target.verb not in ("list", "watch")):
        raise errors.path_not_found()
    if target.subresource and info.subresource(target.subresource) is None:
        raise errors.not_found(info.plural, info.group, target.name)
    if definition.deprecation:
        exchange.warnings.append(definition.deprecation)
    await core.feed.prepared(info)


async def subresource(core: Core, exchange: Exchange, info: ResourceInfo) -> None:
    target = exchange.target
    if target.subresource == "proxy" or (info.plural, target.subresource) in core.connectors:
        await connect.connect(core, exchange, info)
        return
    known = info.subresource(target.subresource)
    if known is None:
        raise errors.path_not_found()
    if (info.plural, target.subresource) in core.answerers and target.verb == "create":
        await connect.answer(core, exchange, info)
        return
    if target.verb not in known.verbs or exchange.method in ("HEAD", "OPTIONS"):
        raise errors.method_not_allowed()
    await subresources.handle(core, exchange, info, known)


def explained(error: BaseException, target: str) -> StatusError:
    """Any failure as the API's Status."""
    if isinstance(error, StatusError):
        return error
    if isinstance(error, RpcError):
        return store_error(error)
    if isinstance(error, TimeoutError):
        return errors.timeout("request did not complete within the allotted timeout")
    log.error("%s failed", target, exc_info=error)
    return errors.internal(f"{type(error).__name__}; the apiserver's log says more")


def is_expected(error: BaseException) -> bool:
    """Not a bug of ours: a refusal, a store that does not answer, a request that takes too long."""
    return isinstance(error, (StatusError, RpcError, TimeoutError))


def store_error(error: RpcError) -> StatusError:
    """The store's refusals in the API's words."""
    if error.code is Code.INVALID_ARGUMENT and "too large" in error.message:
        return StatusError(413, "RequestEntityTooLarge", f"Request is too large: {error.message}")
    if error.code in (Code.UNAVAILABLE, Code.DEADLINE_EXCEEDED):
        status = errors.internal(error.message)
        return StatusError(500, status.reason, f"the store does not answer: {error.message}", status.details)
    return errors.internal(error.message)
