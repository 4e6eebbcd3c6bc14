"""gRPC without a framework's classes: services are plain objects, described by protobuf descriptors.

A handler has a method for each rpc, named in snake_case. Unary: `async def range(self, request, context)` returns the
response. Streaming responses: an async generator. A streaming request arrives as an async iterator. Handlers refuse by
raising `RpcError`. The same objects are hosted by grpcio today and can be hosted by any other edge.

A task for each call costs more than most short calls themselves. So a handler may offer `begin_range(request, message,
call) -> bool` beside a unary `range`: a plain function, given the request decoded and as it came. It takes the call
over (True) and answers by the `DirectCall` in a later turn of the loop, or raises RpcError, or leaves the call to
`range` (False). Edges that do not know of it never call it, so it must not be the only way.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from functools import cache
from pathlib import Path
from typing import Any, Protocol

from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

MAX_MESSAGE_BYTES = 64 * 1024 * 1024


class Code(IntEnum):
    """gRPC status codes (grpc/grpc doc/statuscodes.md)."""

    OK = 0
    CANCELLED = 1
    UNKNOWN = 2
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    ALREADY_EXISTS = 6
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    ABORTED = 10
    OUT_OF_RANGE = 11
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    DATA_LOSS = 15
    UNAUTHENTICATED = 16


class RpcError(Exception):
    """A refusal, on either side: raised by handlers, received by callers. Clients match on both parts."""

    def __init__(self, code: Code, message: str) -> None:
        super().__init__(f"{code.name}: {message}")
        self.code = code
        self.message = message


class CallContext(Protocol):
    """What a handler may know of its call."""

    @property
    def metadata(self) -> Mapping[str, str]: ...

    @property
    def peer(self) -> str: ...

    @property
    def peer_certificate(self) -> bytes | None:
        """PEM or DER of the client's verified certificate; None without TLS or without one."""
        ...

    def time_remaining(self) -> float | None: ...

    def cancelled(self) -> bool: ...


class DirectCall(CallContext, Protocol):
    """A unary call without a task. It is answered once, by one of these two; both do nothing once it is cancelled."""

    def answer(self, response: bytes) -> None: ...

    def refuse(self, error: RpcError) -> None: ...


@dataclass(frozen=True, slots=True)
class Service:
    descriptor: ServiceDescriptor
    handler: object


@dataclass(frozen=True, slots=True)
class ServerTls:
    """`client_ca_file` makes client certificates possible, `require_client_certificate` demands them.

    `ciphers` are OpenSSL's names, in order; they concern TLS 1.2 only. Empty: what the library thinks good.
    """

    certificate_file: Path
    key_file: Path
    client_ca_file: Path | None = None
    require_client_certificate: bool = False
    least: ssl.TLSVersion = ssl.TLSVersion.TLSv1_2
    most: ssl.TLSVersion = ssl.TLSVersion.MAXIMUM_SUPPORTED
    ciphers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ClientTls:
    ca_file: Path
    certificate_file: Path | None = None
    key_file: Path | None = None
    server_name: str | None = None


def method_path(method: MethodDescriptor) -> str:
    return f"/{method.containing_service.full_name}/{method.name}"


@cache
def handler_name(rpc: str) -> str:
    """LeaseKeepAlive -> lease_keep_alive, HashKV -> hash_kv."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", rpc).lower()


def request_class(method: MethodDescriptor) -> type[Message]:
    found: type[Message] = GetMessageClass(method.input_type)
    return found


def response_class(method: MethodDescriptor) -> type[Message]:
    found: type[Message] = GetMessageClass(method.output_type)
    return found


def find_method(service: ServiceDescriptor, rpc: str) -> MethodDescriptor:
    method: Any = service.methods_by_name.get(rpc)
    assert method is not None, f"{service.full_name} has no rpc {rpc}"
    found: MethodDescriptor = method
    return found
