"""Calls any service by its descriptor over grpcio's asyncio channel. Refusals arrive as `RpcError`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any

import grpc
import grpc.aio
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor

from component_base import rpc
from component_base.rpc import ClientTls, Code, RpcError


class GrpcChannel:
    """One connection, kept and re-made by grpcio. `target` is `host:port` or `unix:///path`."""

    def __init__(
        self,
        target: str,
        tls: ClientTls | None = None,
        keepalive_seconds: float = 30.0,
        connect_retry_seconds: float = 2.0,
    ) -> None:
        options: list[tuple[str, Any]] = [
            ("grpc.max_receive_message_length", -1),
            ("grpc.max_send_message_length", -1),
            ("grpc.keepalive_time_ms", int(keepalive_seconds * 1000)),
            ("grpc.keepalive_timeout_ms", 10000),
            ("grpc.http2.max_pings_without_data", 0),
            ("grpc.initial_reconnect_backoff_ms", 100),
            # Not a pause but how long one attempt may take: a TLS handshake on a busy host needs more than 100 ms.
            ("grpc.min_reconnect_backoff_ms", 3000),
            ("grpc.max_reconnect_backoff_ms", int(connect_retry_seconds * 1000)),
            # Channels to the same target must not share one connection: their certificates may differ.
            ("grpc.use_local_subchannel_pool", 1),
            ("grpc.enable_http_proxy", 0),
        ]
        if tls is None:
            self._channel = grpc.aio.insecure_channel(target, options)
        else:
            if tls.server_name:
                options.append(("grpc.ssl_target_name_override", tls.server_name))
            self._channel = grpc.aio.secure_channel(target, _credentials(tls), options)
        self._calls: dict[str, Any] = {}

    async def unary(
        self,
        service: ServiceDescriptor,
        name: str,
        request: Any,
        timeout: float | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> Any:
        call = self._callable(rpc.find_method(service, name))
        try:
            return await call(request, timeout=timeout, metadata=_pairs(metadata))
        except grpc.aio.AioRpcError as error:
            raise _refusal(error) from None

    async def stream(
        self,
        service: ServiceDescriptor,
        name: str,
        requests: Any,
        timeout: float | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> AsyncIterator[Any]:
        """Responses of a streaming call; `requests` is an async iterator, or one message where the rpc takes one.

        Closing the iterator (or leaving its loop by an exception) cancels the call.
        """
        call = self._callable(rpc.find_method(service, name))(requests, timeout=timeout, metadata=_pairs(metadata))
        try:
            async for response in call:
                yield response
        except grpc.aio.AioRpcError as error:
            raise _refusal(error) from None
        finally:
            call.cancel()

    async def close(self) -> None:
        await self._channel.close()

    def _callable(self, method: MethodDescriptor) -> Any:
        path = rpc.method_path(method)
        found = self._calls.get(path)
        if found is None:
            make = {
                (False, False): self._channel.unary_unary,
                (False, True): self._channel.unary_stream,
                (True, False): self._channel.stream_unary,
                (True, True): self._channel.stream_stream,
            }[(bool(method.client_streaming), bool(method.server_streaming))]
            decode = rpc.response_class(method).FromString
            found = self._calls[path] = make(path, request_serializer=_encode, response_deserializer=decode)
        return found


def _encode(message: Any) -> bytes:
    return message.SerializeToString()  # type: ignore[no-any-return]


def _pairs(metadata: Mapping[str, str] | None) -> Any:
    return tuple(metadata.items()) if metadata else None


def _credentials(tls: ClientTls) -> grpc.ChannelCredentials:
    return grpc.ssl_channel_credentials(
        tls.ca_file.read_bytes(),
        tls.key_file.read_bytes() if tls.key_file else None,
        tls.certificate_file.read_bytes() if tls.certificate_file else None,
    )


def _refusal(error: grpc.aio.AioRpcError) -> RpcError:
    return RpcError(Code(error.code().value[0]), error.details() or "")
