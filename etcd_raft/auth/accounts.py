"""The replicated part of authentication: users, roles, permissions, and whether any of it counts.

Every change is a revision of its own. A request carries the revision its sender was checked against, so that rights
which were taken away in between do not slip through the log.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final

import msgspec

from etcd_raft.auth.refusals import refused
from etcd_raft.mvcc.keyspace import range_bounds
from skiff_pb.etcd import auth_pb2, rpc_pb2

ROOT: Final = "root"
READ: Final = int(auth_pb2.Permission.READ)
WRITE: Final = int(auth_pb2.Permission.WRITE)
READWRITE: Final = int(auth_pb2.Permission.READWRITE)


class User(msgspec.Struct, array_like=True):
    """`password` is a hash; empty for a user who can only show a certificate."""

    name: str
    password: str
    roles: list[str]


class Permission(msgspec.Struct, frozen=True, array_like=True):
    kind: int
    key: bytes
    range_end: bytes


class Role(msgspec.Struct, array_like=True):
    name: str
    permissions: list[Permission]


class Caller(msgspec.Struct, frozen=True):
    """On whose behalf something is done, as of a revision of this table."""

    user: str
    revision: int


class Dump(msgspec.Struct, frozen=True, array_like=True):
    """The table in a snapshot."""

    is_enabled: bool
    revision: int
    users: list[User]
    roles: list[Role]


class Accounts:
    def __init__(self) -> None:
        self.is_enabled = False
        self.revision = 1
        self.users: dict[str, User] = {}
        self.roles: dict[str, Role] = {}
        #: Told at this member when a user's tokens must no longer count ("": nobody's) and when one is assigned.
        self.on_revoked: Callable[[str], None] = lambda user: None
        self.on_assigned: Callable[[str, str], None] = lambda user, token: None
        self._changes: dict[str, Callable[[Any], None]] = {
            "AuthEnable": self._enable,
            "AuthDisable": self._disable,
            "UserAdd": self._user_add,
            "UserDelete": self._user_delete,
            "UserChangePassword": self._user_change_password,
            "UserGrantRole": self._user_grant_role,
            "UserRevokeRole": self._user_revoke_role,
            "RoleAdd": self._role_add,
            "RoleDelete": self._role_delete,
            "RoleGrantPermission": self._role_grant_permission,
            "RoleRevokePermission": self._role_revoke_permission,
        }

    # What somebody may do

    def check_caller(self, caller: Caller | None) -> User:
        if caller is None or not caller.user:
            raise refused("user name is empty")
        if caller.revision < self.revision:
            raise refused("revision of auth store is old")
        user = self.users.get(caller.user)
        if user is None:
            raise refused("permission denied")
        return user

    def check(self, caller: Caller | None, key: bytes, range_end: bytes, kind: int) -> None:
        """Raises Refusal unless the caller may read or write all of the range."""
        if not self.is_enabled:
            return
        user = self.check_caller(caller)
        if ROOT not in user.roles and not self._covers(user, key or b"\0", range_bounds(range_end), kind):
            raise refused("permission denied")

    def check_admin(self, caller: Caller | None) -> None:
        if not self.is_enabled:
            return
        if caller is None or not caller.user:
            raise refused("user name is empty")
        user = self.users.get(caller.user)
        if user is None:
            raise refused("user name not found")
        if ROOT not in user.roles:
            raise refused("permission denied")

    def is_admin(self, caller: Caller | None) -> bool:
        user = self.users.get(caller.user) if caller is not None else None
        return not self.is_enabled or (user is not None and ROOT in user.roles)

    def _covers(self, user: User, start: bytes, end: bytes | None, kind: int) -> bool:
        """Whether the ranges that were granted, taken together, contain this one."""
        at = start
        for first, last in self._granted(user, kind):
            if first > at:
                return False
            if last == b"":
                return True
            if end is None:
                if start < last:
                    return True
            elif last > at:
                at = last
                if end and at >= end:
                    return True
        return False

    def _granted(self, user: User, kind: int) -> list[tuple[bytes, bytes]]:
        """[first, last) of each, in order; last is empty where there is no end."""
        found = []
        for name in user.roles:
            for permission in self.roles[name].permissions if name in self.roles else ():
                if permission.kind in (kind, READWRITE):
                    end = range_bounds(permission.range_end)
                    found.append((permission.key, permission.key + b"\0" if end is None else end))
        return sorted(found)

    # Changes

    def change(self, name: str, request: Any) -> None:
        """`name` is the rpc's. A change that changes nothing keeps the revision."""
        self._changes[name](request)

    def _commit(self) -> None:
        self.revision += 1

    def _user(self, name: str) -> User:
        user = self.users.get(name)
        if user is None:
            raise refused("user name not found")
        return user

    def _role(self, name: str) -> Role:
        role = self.roles.get(name)
        if role is None:
            raise refused("role name not found")
        return role

    def _enable(self, request: Any) -> None:
        if self.is_enabled:
            return
        root = self.users.get(ROOT)
        if root is None:
            raise refused("root user does not exist")
        if ROOT not in root.roles:
            raise refused("root user does not have root role")
        self.is_enabled = True

    def _disable(self, request: Any) -> None:
        if self.is_enabled:
            self.is_enabled = False
            self._commit()
            self.on_revoked("")

    def _user_add(self, request: rpc_pb2.AuthUserAddRequest) -> None:
        if not request.name:
            raise refused("user name is empty")
        if request.name in self.users:
            raise refused("user name already exists")
        password = "" if request.options.no_password else request.hashedPassword
        self.users[request.name] = User(request.name, password, [])
        self._commit()

    def _user_delete(self, request: rpc_pb2.AuthUserDeleteRequest) -> None:
        if self.is_enabled and request.name == ROOT:
            raise refused("invalid auth management")
        self._user(request.name)
        del self.users[request.name]
        self._commit()
        self.on_revoked(request.name)

    def _user_change_password(self, request: rpc_pb2.AuthUserChangePasswordRequest) -> None:
        self._user(request.name).password = request.hashedPassword
        self._commit()
        self.on_revoked(request.name)

    def _user_grant_role(self, request: rpc_pb2.AuthUserGrantRoleRequest) -> None:
        user = self._user(request.user)
        if request.role != ROOT:
            self._role(request.role)
        if request.role not in user.roles:
            user.roles = sorted([*user.roles, request.role])
            self._commit()

    def _user_revoke_role(self, request: rpc_pb2.AuthUserRevokeRoleRequest) -> None:
        if self.is_enabled and request.name == ROOT and request.role == ROOT:
            raise refused("invalid auth management")
        user = self._user(request.name)
        if request.role not in user.roles:
            raise refused("role is not granted to the user")
        user.roles.remove(request.role)
        self._commit()

    def _role_add(self, request: rpc_pb2.AuthRoleAddRequest) -> None:
        if not request.name:
            raise refused("role name is empty")
        if request.name in self.roles:
            raise refused("role name already exists")
        self.roles[request.name] = Role(request.name, [])
        self._commit()

    def _role_delete(self, request: rpc_pb2.AuthRoleDeleteRequest) -> None:
        if self.is_enabled and request.role == ROOT:
            raise refused("invalid auth management")
        self._role(request.role)
        del self.roles[request.role]
        for user in self.users.values():
            if request.role in user.roles:
                user.roles.remove(request.role)
        self._commit()

    def _role_grant_permission(self, request: rpc_pb2.AuthRoleGrantPermissionRequest) -> None:
        if not request.HasField("perm"):
            raise refused("permission not given")
        granted = Permission(int(request.perm.permType), request.perm.key, request.perm.range_end)
        end = range_bounds(granted.range_end)
        if not granted.key or (end and granted.key >= end):
            raise refused("invalid auth management")
        role = self._role(request.name)
        kept = [p for p in role.permissions if (p.key, p.range_end) != (granted.key, granted.range_end)]
        role.permissions = sorted([*kept, granted], key=lambda p: (p.key, p.range_end))
        self._commit()

    def _role_revoke_permission(self, request: rpc_pb2.AuthRoleRevokePermissionRequest) -> None:
        role = self._role(request.role)
        kept = [p for p in role.permissions if (p.key, p.range_end) != (request.key, request.range_end)]
        if len(kept) == len(role.permissions):
            raise refused("permission is not granted to the role")
        role.permissions = kept
        self._commit()

    # Snapshots

    def dump(self) -> Dump:
        users = [User(user.name, user.password, list(user.roles)) for user in self.users.values()]
        roles = [Role(role.name, list(role.permissions)) for role in self.roles.values()]
        return Dump(self.is_enabled, self.revision, users, roles)

    def restore(self, dump: Dump) -> None:
        self.is_enabled = dump.is_enabled
        self.revision = dump.revision
        self.users = _by_name(dump.users)
        self.roles = _by_name(dump.roles)
        self.on_revoked("")


def _by_name(items: Iterable[Any]) -> dict[str, Any]:
    return {item.name: item for item in items}
