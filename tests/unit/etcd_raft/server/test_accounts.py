"""Users, roles, tokens, and what they may do."""

from __future__ import annotations

from typing import Any

import pytest

from component_base.clock import ManualClock
from component_base.rng import seeded
from component_base.rpc import Code, RpcError
from etcd_raft import requests
from etcd_raft.auth.accounts import READ, WRITE, Caller
from etcd_raft.auth.credentials import TOKEN_SECONDS, Tokens, hash_password, is_password
from etcd_raft.machine import StoreMachine
from etcd_raft.ports import Refusal
from etcd_raft.server.access import Access, Limits
from etcd_raft.server.auth import AuthService
from etcd_raft.server.kv import KvService
from skiff_pb.etcd import auth_pb2, rpc_pb2
from tests.unit.etcd_raft.mvcc.store_client import StoreClient
from tests.unit.etcd_raft.server.single_node import Caller as Context
from tests.unit.etcd_raft.server.single_node import SingleNode


class Member:
    def __init__(self) -> None:
        self.store = StoreMachine()
        self.clock = ManualClock()
        access = Access(
            SingleNode(self.store), self.store, Limits(), Tokens(self.store.accounts, self.clock, seeded(1))
        )
        self.auth = AuthService(access, seeded(1))
        self.kv = KvService(access)

    async def user(self, name: str, *roles: str, by: Context | None = None) -> None:
        by = by or Context()
        await self.auth.user_add(rpc_pb2.AuthUserAddRequest(name=name, password=name + "-password"), by)
        for role in roles:
            await self.auth.user_grant_role(rpc_pb2.AuthUserGrantRoleRequest(user=name, role=role), by)

    async def role(self, name: str, *permissions: tuple[Any, bytes, bytes], by: Context | None = None) -> None:
        by = by or Context()
        await self.auth.role_add(rpc_pb2.AuthRoleAddRequest(name=name), by)
        for kind, key, end in permissions:
            permission = auth_pb2.Permission(permType=kind, key=key, range_end=end)
            request = rpc_pb2.AuthRoleGrantPermissionRequest(name=name, perm=permission)
            await self.auth.role_grant_permission(request, by)

    async def log_in(self, name: str, password: str | None = None) -> Context:
        request = rpc_pb2.AuthenticateRequest(name=name, password=password or name + "-password")
        answer = rpc_pb2.AuthenticateResponse.FromString(await self.auth.authenticate(request, Context()))
        return Context(token=answer.token)

    async def enable(self) -> Context:
        await self.user("root", "root")
        await self.auth.auth_enable(rpc_pb2.AuthEnableRequest(), Context())
        return await self.log_in("root")

    async def put(self, key: bytes, by: Context, **fields: Any) -> None:
        await self.kv.put(rpc_pb2.PutRequest(key=key, **fields), by)


@pytest.fixture
async def member() -> Member:
    made = Member()
    await made.role("part", (auth_pb2.Permission.READWRITE, b"/a/", b"/a0"), (auth_pb2.Permission.READ, b"/b", b""))
    await made.user("ann", "part")
    return made


async def test_nothing_counts_until_it_is_enabled(member: Member) -> None:
    await member.put(b"/z", Context())
    with pytest.raises(RpcError, match="root user does not exist"):
        await member.auth.auth_enable(rpc_pb2.AuthEnableRequest(), Context())
    with pytest.raises(RpcError, match="authentication is not enabled"):
        await member.log_in("ann")


async def test_users_do_what_their_roles_permit(member: Member) -> None:
    root = await member.enable()
    ann = await member.log_in("ann")
    await member.put(b"/a/1", ann)
    await member.kv.range(rpc_pb2.RangeRequest(key=b"/b"), ann)
    await member.put(b"/z", root)
    for refused in (
        member.put(b"/b", ann),
        member.put(b"/a", ann),
        member.kv.range(rpc_pb2.RangeRequest(key=b"/a/", range_end=b"/b"), ann),
        member.kv.delete_range(rpc_pb2.DeleteRangeRequest(key=b"\0", range_end=b"\0"), ann),
        member.kv.txn(rpc_pb2.TxnRequest(compare=[rpc_pb2.Compare(key=b"/z")]), ann),
        member.auth.user_list(rpc_pb2.AuthUserListRequest(), ann),
        member.user("bob", by=ann),
    ):
        with pytest.raises(RpcError) as caught:
            await refused
        assert (caught.value.code, caught.value.message) == (Code.PERMISSION_DENIED, "etcdserver: permission denied")
    with pytest.raises(RpcError, match="etcdserver: user name is empty"):
        await member.put(b"/a/1", Context())


async def test_history_is_compacted_by_any_user_and_by_the_clock(member: Member) -> None:
    root = await member.enable()
    for _ in range(3):
        await member.put(b"/z", root)
    with pytest.raises(RpcError, match="user name is empty"):
        await member.kv.compact(rpc_pb2.CompactionRequest(revision=2), Context())
    await member.kv.compact(rpc_pb2.CompactionRequest(revision=2), await member.log_in("ann"))
    StoreClient(member.store).propose(requests.compact(rpc_pb2.CompactionRequest(revision=3)))
    assert member.store.space.compacted == 3


async def test_rights_that_were_taken_away_do_not_slip_through_the_log(member: Member) -> None:
    root = await member.enable()
    client = StoreClient(member.store)
    caller = Caller("ann", member.store.accounts.revision)
    late = requests.own(requests.AsUser(caller.user, caller.revision, requests.put(rpc_pb2.PutRequest(key=b"/a/1"))))
    await member.auth.user_revoke_role(rpc_pb2.AuthUserRevokeRoleRequest(name="ann", role="part"), root)
    with pytest.raises(Refusal, match="revision of auth store is old"):
        client.propose(late)


async def test_tokens_end_unused_and_with_their_user(member: Member) -> None:
    root = await member.enable()
    with pytest.raises(RpcError, match="authentication failed, invalid user ID or password"):
        await member.log_in("ann", "wrong")
    with pytest.raises(RpcError, match="authentication failed, invalid user ID or password"):
        await member.log_in("nobody")
    ann = await member.log_in("ann")
    member.clock.advance(TOKEN_SECONDS - 1)
    await member.put(b"/a/1", ann)
    await member.put(b"/a/1", root)
    await member.auth.user_change_password(rpc_pb2.AuthUserChangePasswordRequest(name="ann", password="new"), root)
    with pytest.raises(RpcError) as caught:
        await member.put(b"/a/1", ann)
    assert (caught.value.code, caught.value.message) == (Code.UNAUTHENTICATED, "etcdserver: invalid auth token")
    await member.log_in("ann", "new")
    member.clock.advance(TOKEN_SECONDS + 1)
    with pytest.raises(RpcError, match="invalid auth token"):
        await member.put(b"/a/1", root)


async def test_root_cannot_be_locked_out(member: Member) -> None:
    root = await member.enable()
    for refused in (
        member.auth.user_delete(rpc_pb2.AuthUserDeleteRequest(name="root"), root),
        member.auth.user_revoke_role(rpc_pb2.AuthUserRevokeRoleRequest(name="root", role="root"), root),
        member.auth.role_delete(rpc_pb2.AuthRoleDeleteRequest(role="root"), root),
    ):
        with pytest.raises(RpcError, match="invalid auth management"):
            await refused


async def test_accounts_survive_a_snapshot_and_passwords_are_not_in_it(member: Member) -> None:
    await member.enable()
    saved = b"".join(member.store.snapshot())
    assert b"ann-password" not in saved
    other = StoreMachine()
    other.restore(iter([saved]))
    assert other.accounts.dump() == member.store.accounts.dump()
    assert other.accounts.is_enabled


async def test_ranges_that_touch_are_one_range(member: Member) -> None:
    accounts = member.store.accounts
    await member.role(
        "two", (auth_pb2.Permission.READ, b"m", b"p"), (auth_pb2.Permission.READ, b"p", b"r"), (READ, b"x", b"\0")
    )
    await member.user("eve", "two")
    await member.enable()
    eve = Caller("eve", accounts.revision)
    accounts.check(eve, b"n", b"q", READ)
    accounts.check(eve, b"y", b"\0", READ)
    for key, end, kind in ((b"n", b"s", READ), (b"a", b"\0", READ), (b"n", b"o", WRITE), (b"l", b"n", READ)):
        with pytest.raises(Refusal, match="permission denied"):
            accounts.check(eve, key, end, kind)


def test_passwords_are_salted_hashes() -> None:
    rng = seeded(1)
    first, second = hash_password("secret", rng), hash_password("secret", rng)
    assert first != second
    assert is_password("secret", first)
    assert not is_password("Secret", first)
    assert not is_password("", "")
