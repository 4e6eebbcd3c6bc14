"""The Auth service: users, roles, and tokens for those who show a password."""

from __future__ import annotations

import asyncio
from typing import Any

from component_base.rng import Rng
from component_base.rpc import CallContext
from etcd_raft import requests
from etcd_raft.auth.accounts import ROOT, Role
from etcd_raft.auth.credentials import hash_password, is_password
from etcd_raft.auth.refusals import refused
from etcd_raft.mvcc.wire import sized
from etcd_raft.server.access import Access, unary
from skiff_pb.etcd import auth_pb2, rpc_pb2


class AuthService:
    def __init__(self, access: Access, rng: Rng) -> None:
        self.access = access
        self._rng = rng

    async def _change(self, name: str, request: Any, context: CallContext) -> bytes:
        change = requests.AuthChange(name, request.SerializeToString())
        return await self.access.answer(requests.own(change), context)

    # Whether it counts

    @unary
    async def auth_status(self, request: rpc_pb2.AuthStatusRequest, context: CallContext) -> rpc_pb2.AuthStatusResponse:
        accounts = self.access.store.accounts
        return rpc_pb2.AuthStatusResponse(
            header=self.access.header_message(), enabled=accounts.is_enabled, authRevision=accounts.revision
        )

    @unary
    async def auth_enable(self, request: rpc_pb2.AuthEnableRequest, context: CallContext) -> bytes:
        return await self._change("AuthEnable", request, context)

    @unary
    async def auth_disable(self, request: rpc_pb2.AuthDisableRequest, context: CallContext) -> bytes:
        return await self._change("AuthDisable", request, context)

    @unary
    async def authenticate(self, request: rpc_pb2.AuthenticateRequest, context: CallContext) -> bytes:
        accounts, tokens = self.access.store.accounts, self.access.tokens
        await self.access.node.read_index()
        if not accounts.is_enabled:
            raise refused("authentication is not enabled")
        user, revision = accounts.users.get(request.name), accounts.revision
        # The time that an answer takes must not tell whether there is such a user.
        hashed = user.password if user is not None and user.password else hash_password("", self._rng)
        is_right = await asyncio.to_thread(is_password, request.password, hashed)
        if user is None or not user.password or not is_right:
            raise refused("authentication failed, invalid user ID or password")
        token = tokens.issue(user.name, revision)
        if not tokens.is_logged:
            return self.access.header() + sized(b"\x12", token.encode())
        reply = await self.access.propose(requests.own(requests.AuthToken(user.name, token, revision)))
        return self.access.header(reply.revision) + reply.body

    # Users

    @unary
    async def user_add(self, request: rpc_pb2.AuthUserAddRequest, context: CallContext) -> bytes:
        await self._hash(request)
        return await self._change("UserAdd", request, context)

    @unary
    async def user_change_password(self, request: rpc_pb2.AuthUserChangePasswordRequest, context: CallContext) -> bytes:
        await self._hash(request)
        return await self._change("UserChangePassword", request, context)

    async def _hash(self, request: Any) -> None:
        """Passwords themselves never reach the log."""
        request.hashedPassword = ""
        if request.password:
            request.hashedPassword = await asyncio.to_thread(hash_password, request.password, self._rng)
            request.password = ""

    @unary
    async def user_get(self, request: rpc_pb2.AuthUserGetRequest, context: CallContext) -> rpc_pb2.AuthUserGetResponse:
        await self.access.node.read_index()
        caller = self.access.caller(context)
        if caller is None or caller.user != request.name:
            self.access.store.accounts.check_admin(caller)
        user = self.access.store.accounts.users.get(request.name)
        if user is None:
            raise refused("user name not found")
        return rpc_pb2.AuthUserGetResponse(header=self.access.header_message(), roles=user.roles)

    @unary
    async def user_list(
        self, request: rpc_pb2.AuthUserListRequest, context: CallContext
    ) -> rpc_pb2.AuthUserListResponse:
        await self.access.node.read_index()
        self.access.check_admin(context)
        users = sorted(self.access.store.accounts.users)
        return rpc_pb2.AuthUserListResponse(header=self.access.header_message(), users=users)

    @unary
    async def user_delete(self, request: rpc_pb2.AuthUserDeleteRequest, context: CallContext) -> bytes:
        return await self._change("UserDelete", request, context)

    @unary
    async def user_grant_role(self, request: rpc_pb2.AuthUserGrantRoleRequest, context: CallContext) -> bytes:
        return await self._change("UserGrantRole", request, context)

    @unary
    async def user_revoke_role(self, request: rpc_pb2.AuthUserRevokeRoleRequest, context: CallContext) -> bytes:
        return await self._change("UserRevokeRole", request, context)

    # Roles

    @unary
    async def role_add(self, request: rpc_pb2.AuthRoleAddRequest, context: CallContext) -> bytes:
        return await self._change("RoleAdd", request, context)

    @unary
    async def role_get(self, request: rpc_pb2.AuthRoleGetRequest, context: CallContext) -> rpc_pb2.AuthRoleGetResponse:
        await self.access.node.read_index()
        accounts, caller = self.access.store.accounts, self.access.caller(context)
        user = accounts.users.get(caller.user) if caller is not None else None
        if user is None or request.role not in user.roles:
            accounts.check_admin(caller)
        role = accounts.roles.get(request.role)
        if role is None:
            raise refused("role name not found")
        return rpc_pb2.AuthRoleGetResponse(header=self.access.header_message(), perm=_permissions(role))

    @unary
    async def role_list(
        self, request: rpc_pb2.AuthRoleListRequest, context: CallContext
    ) -> rpc_pb2.AuthRoleListResponse:
        await self.access.node.read_index()
        self.access.check_admin(context)
        roles = sorted(self.access.store.accounts.roles)
        return rpc_pb2.AuthRoleListResponse(header=self.access.header_message(), roles=roles)

    @unary
    async def role_delete(self, request: rpc_pb2.AuthRoleDeleteRequest, context: CallContext) -> bytes:
        return await self._change("RoleDelete", request, context)

    @unary
    async def role_grant_permission(
        self, request: rpc_pb2.AuthRoleGrantPermissionRequest, context: CallContext
    ) -> bytes:
        return await self._change("RoleGrantPermission", request, context)

    @unary
    async def role_revoke_permission(
        self, request: rpc_pb2.AuthRoleRevokePermissionRequest, context: CallContext
    ) -> bytes:
        return await self._change("RoleRevokePermission", request, context)


def _permissions(role: Role) -> list[auth_pb2.Permission]:
    if role.name == ROOT:
        return [auth_pb2.Permission(permType=auth_pb2.Permission.READWRITE, key=b"", range_end=b"\0")]
    return [
        auth_pb2.Permission(
            permType=auth_pb2.Permission.Type.Name(permission.kind), key=permission.key, range_end=permission.range_end
        )
        for permission in role.permissions
    ]
