"""Acting as somebody else: `Impersonate-User`, `-Group`, `-Uid`, `-Extra-…`: each needs the right to do so."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import unquote

from apimachinery import errors
from apiserver.authn.chain import AUTHENTICATED, UNAUTHENTICATED
from apiserver.authn.service_account import group_names, split_username
from apiserver.authz.denial import forbidden
from apiserver.ports import ANONYMOUS, Attributes, Authorizer, User, Verdict

EXTRA_PREFIX = "impersonate-extra-"
AUTHENTICATION_GROUP = "authentication.k8s.io"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the headers ask for, before anybody has agreed."""

    user: str
    groups: tuple[str, ...]
    uid: str
    extra: Mapping[str, tuple[str, ...]]


def wanted(headers: Mapping[str, str]) -> Wanted | None:
    """None without impersonation headers. Raises StatusError 400 for groups, uid or extra without a user."""
    user, uid = headers.get("impersonate-user", ""), headers.get("impersonate-uid", "")
    groups = tuple(headers["impersonate-group"].split("\n")) if "impersonate-group" in headers else ()
    extra: dict[str, tuple[str, ...]] = {}
    for name, value in headers.items():
        if name.startswith(EXTRA_PREFIX):
            extra[unquote(name[len(EXTRA_PREFIX) :])] = tuple(value.split("\n"))
    if not user:
        if groups or uid or extra:
            asked = [*(f"group {group}" for group in groups), *([f"uid {uid}"] if uid else []), *extra]
            raise errors.bad_request(f"requested [{', '.join(asked)}] without impersonating a user")
        return None
    return Wanted(user, groups, uid, extra)


def questions(asker: User, want: Wanted) -> list[Attributes]:
    """Everything that the asker must be allowed to impersonate."""
    account = split_username(want.user)
    if account is None:
        asked = [Attributes(asker, "impersonate", version="v1", resource="users", name=want.user)]
    else:
        namespace, name = account
        asked = [
            Attributes(asker, "impersonate", version="v1", resource="serviceaccounts", namespace=namespace, name=name)
        ]
    asked += [Attributes(asker, "impersonate", version="v1", resource="groups", name=group) for group in want.groups]
    for key, values in want.extra.items():
        asked += [
            Attributes(
                asker,
                "impersonate",
                group=AUTHENTICATION_GROUP,
                version="v1",
                resource="userextras",
                subresource=key,
                name=value,
            )
            for value in values
        ]
    if want.uid:
        asked.append(
            Attributes(asker, "impersonate", group=AUTHENTICATION_GROUP, version="v1", resource="uids", name=want.uid)
        )
    return asked


async def impersonate(user: User, headers: Mapping[str, str], authorizer: Authorizer) -> User:
    """The user whom the request acts as: `user` itself when no header asks otherwise. Raises StatusError 400, 403."""
    want = wanted(headers)
    if want is None:
        return user
    for question in questions(user, want):
        verdict, reason = await authorizer.authorize(question)
        if verdict is not Verdict.ALLOW:
            raise forbidden(question, reason)
    account = split_username(want.user)
    groups = list(want.groups)
    if account is not None and not groups:
        groups = list(group_names(account[0]))
    if want.user == ANONYMOUS.name:
        if UNAUTHENTICATED not in groups:
            groups.append(UNAUTHENTICATED)
    elif AUTHENTICATED not in groups and UNAUTHENTICATED not in groups:
        groups.append(AUTHENTICATED)
    return User(want.user, tuple(groups), want.uid, want.extra)
