"""Identity vouched for by an authenticating proxy: headers count only beside a certificate of the front-proxy CA."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import unquote

from apiserver.authn.certificates import AuthorityPool, common_name
from apiserver.authn.chain import TokenRefused
from apiserver.ports import Credentials, User


@dataclass(frozen=True, slots=True)
class HeaderNames:
    """Lower-case header names, in the order in which they are looked at; extra ones are prefixes."""

    username: Sequence[str] = ("x-remote-user",)
    uid: Sequence[str] = ()
    group: Sequence[str] = ("x-remote-group",)
    extra_prefix: Sequence[str] = ("x-remote-extra-",)


class RequestHeader:
    """The proxy's certificate first, its headers after it."""

    def __init__(self, pool: AuthorityPool, allowed_names: Sequence[str], names: HeaderNames) -> None:
        self._pool = pool
        self._allowed = frozenset(allowed_names)
        self._names = names

    async def authenticate(self, credentials: Credentials) -> User | None:
        if credentials.client_certificate is None:
            return None
        certificate = self._pool.verify(credentials.client_certificate)
        if certificate is None:
            return None
        proxy = common_name(certificate)
        if self._allowed and proxy not in self._allowed:
            raise TokenRefused(f"x509: subject with cn={proxy} is not in the allowed list")
        return user_from_headers(credentials.headers, self._names)


def user_from_headers(headers: Mapping[str, str], names: HeaderNames) -> User | None:
    username = _first(headers, names.username)
    if not username:
        return None
    groups = tuple(part for name in names.group for part in headers.get(name, "").split("\n") if part)
    extra: dict[str, tuple[str, ...]] = {}
    for prefix in names.extra_prefix:
        for name, value in headers.items():
            if name.startswith(prefix):
                key = unquote(name[len(prefix) :]).lower()
                extra[key] = (*extra.get(key, ()), *value.split("\n"))
    return User(username, groups, _first(headers, names.uid), extra)


def _first(headers: Mapping[str, str], names: Sequence[str]) -> str:
    return next((headers[name] for name in names if headers.get(name)), "")
