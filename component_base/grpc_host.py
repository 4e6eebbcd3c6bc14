"""Hosts `rpc.Service` objects on grpcio's asyncio server, on TCP and unix sockets, with or without TLS.

A handler whose method is missing answers UNIMPLEMENTED. An exception that is no RpcError is logged and answered
INTERNAL without its text. Cancellation by the peer cancels the handler's task.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any

import grpc
import grpc.aio
from google.protobuf.descriptor import MethodDescriptor

from component_base import rpc
from component_base.rpc import Code, RpcError, ServerTls, Service

log = logging.getLogger(__name__)

_STATUS: dict[int, grpc.StatusCode] = {status.value[0]: status for status in grpc.StatusCode}


class _Context:
    """rpc.CallContext on grpcio."""

    __slots__ = ("_inner",)

    def __init__(self, inner: grpc.aio.ServicerContext[Any, Any]) -> None:
        self._inner = inner

    @property
    def metadata(self) -> Mapping[str, str]:
        pairs = self._inner.invocation_metadata() or ()
        return {str(key): value if isinstance(value, str) else value.decode("latin-1") for key, value in pairs}

    @property
    def peer(self) -> str:
        return str(self._inner.peer())

    @property
    def peer_certificate(self) -> bytes | None:
        found = self._inner.auth_context().get("x509_pem_cert")
        return bytes(next(iter(found))) if found else None

    def time_remaining(self) -> float | None:
        return self._inner.time_remaining()

    def cancelled(self) -> bool:
        return bool(self._inner.cancelled())


class GrpcHost:
    """Add listeners, then `start`. `stop` lets calls in flight finish within its grace."""

    def __init__(
        self,
        services: Sequence[Service],
        max_message_bytes: int = rpc.MAX_MESSAGE_BYTES,
        keepalive_seconds: float = 7200.0,
    ) -> None:
        options: list[tuple[str, Any]] = [
            ("grpc.max_receive_message_length", max_message_bytes),
            ("grpc.max_send_message_length", -1),
            ("grpc.so_reuseport", 0),
            ("grpc.keepalive_time_ms", int(keepalive_seconds * 1000)),
            # Clients of etcd ping often, also without calls; grpcio would end their connections as abuse.
            ("grpc.http2.min_ping_interval_without_data_ms", 5000),
            ("grpc.http2.max_ping_strikes", 0),
            ("grpc.keepalive_permit_without_calls", 1),
        ]
        self._server = grpc.aio.server(options=options)
        for service in services:
            self._server.add_generic_rpc_handlers((_handlers(service),))

    def add_listener(self, address: str, tls: ServerTls | None = None) -> int:
        """Bind `host:port` or `unix:///path`; returns the port. Raises OSError when the address is taken."""
        try:
            if tls is None:
                return self._server.add_insecure_port(address)
            return self._server.add_secure_port(address, _credentials(tls))
        except RuntimeError as error:
            raise OSError(f"cannot listen on {address}: it is in use or not an address of this host") from error

    async def start(self) -> None:
        await self._server.start()

    async def stop(self, grace: float = 1.0) -> None:
        await self._server.stop(grace)


def _credentials(tls: ServerTls) -> grpc.ServerCredentials:
    pair = (tls.key_file.read_bytes(), tls.certificate_file.read_bytes())
    roots = tls.client_ca_file.read_bytes() if tls.client_ca_file else None
    return grpc.ssl_server_credentials([pair], roots, tls.require_client_certificate)


def _handlers(service: Service) -> grpc.GenericRpcHandler:
    methods = {m.name: _method_handler(m, service.handler) for m in service.descriptor.methods}
    return grpc.method_handlers_generic_handler(service.descriptor.full_name, methods)


def _method_handler(method: MethodDescriptor, handler: object) -> grpc.RpcMethodHandler[Any, Any]:
    call: Callable[..., Any] | None = getattr(handler, rpc.handler_name(method.name), None)
    decode = rpc.request_class(method).FromString
    make = {
        (False, False): (grpc.unary_unary_rpc_method_handler, _unary),
        (False, True): (grpc.unary_stream_rpc_method_handler, _streaming),
        (True, False): (grpc.stream_unary_rpc_method_handler, _unary),
        (True, True): (grpc.stream_stream_rpc_method_handler, _streaming),
    }
    build, wrap = make[(bool(method.client_streaming), bool(method.server_streaming))]
    return build(wrap(call, method), decode, _encode)


def _encode(message: Any) -> bytes:
    """Handlers may answer with bytes encoded before: an event is encoded once for many watchers."""
    return message if isinstance(message, bytes) else message.SerializeToString()


def _unary(call: Callable[..., Any] | None, method: MethodDescriptor) -> Callable[..., Any]:
    async def serve(request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> Any:
        if call is None:
            await context.abort(grpc.StatusCode.UNIMPLEMENTED, f"unknown method {method.name}")
        try:
            return await call(request, _Context(context))
        except RpcError as error:
            await context.abort(_STATUS[error.code], error.message)
        except (asyncio.CancelledError, grpc.aio.AbortError):
            raise
        except Exception:  # the request boundary
            log.exception("%s failed", rpc.method_path(method))
            await context.abort(_STATUS[Code.INTERNAL], f"{method.name} failed; the server's log says why")

    return serve


def _streaming(call: Callable[..., Any] | None, method: MethodDescriptor) -> Callable[..., Any]:
    async def serve(request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> AsyncIterator[Any]:
        if call is None:
            await context.abort(grpc.StatusCode.UNIMPLEMENTED, f"unknown method {method.name}")
        responses = call(request, _Context(context))
        try:
            async for response in responses:
                yield response
        except RpcError as error:
            await context.abort(_STATUS[error.code], error.message)
        except (asyncio.CancelledError, GeneratorExit, grpc.aio.AbortError):
            raise
        except Exception:  # the request boundary
            log.exception("%s failed", rpc.method_path(method))
            await context.abort(_STATUS[Code.INTERNAL], f"{method.name} failed; the server's log says why")
        finally:
            await responses.aclose()

    return serve
