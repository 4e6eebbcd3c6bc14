"""The Auth service."""

from __future__ import annotations

from component_base.rpc import CallContext
from etcd_raft.ports import precondition
from etcd_raft.server.access import Access, unary
from skiff_pb.etcd import rpc_pb2


class AuthService:
    def __init__(self, access: Access) -> None:
        self.access = access

    @unary
    async def auth_status(self, request: rpc_pb2.AuthStatusRequest, context: CallContext) -> rpc_pb2.AuthStatusResponse:
        return rpc_pb2.AuthStatusResponse(header=self.access.header_message(), enabled=False, authRevision=1)

    @unary
    async def auth_enable(self, request: rpc_pb2.AuthEnableRequest, context: CallContext) -> rpc_pb2.AuthEnableResponse:
        raise precondition("root user does not exist")

    @unary
    async def auth_disable(
        self, request: rpc_pb2.AuthDisableRequest, context: CallContext
    ) -> rpc_pb2.AuthDisableResponse:
        return rpc_pb2.AuthDisableResponse(header=self.access.header_message())

    @unary
    async def authenticate(
        self, request: rpc_pb2.AuthenticateRequest, context: CallContext
    ) -> rpc_pb2.AuthenticateResponse:
        raise precondition("authentication is not enabled")
