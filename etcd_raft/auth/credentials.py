"""Passwords as hashes, and the tokens that stand for a user who has shown a password."""

from __future__ import annotations

import base64
import hashlib
import hmac
from typing import Final, Protocol

from component_base.clock import Clock
from component_base.rng import Rng
from etcd_raft.auth.accounts import Accounts, Caller
from etcd_raft.auth.refusals import refused

_COST: Final = 2**14
_BLOCKS: Final = 8
_MEMORY: Final = 64 * 1024 * 1024
TOKEN_SECONDS: Final = 300.0
_TOKEN_BITS: Final = 128


def hash_password(password: str, rng: Rng) -> str:
    """Takes tens of milliseconds on purpose: call it in a thread."""
    salt = rng.getrandbits(128).to_bytes(16, "big")
    digest = hashlib.scrypt(password.encode(), salt=salt, n=_COST, r=_BLOCKS, p=1, maxmem=_MEMORY)
    return f"scrypt${base64.b64encode(salt).decode()}${base64.b64encode(digest).decode()}"


def is_password(password: str, hashed: str) -> bool:
    """Takes as long as hashing does."""
    kind, _, rest = hashed.partition("$")
    salt, _, digest = rest.partition("$")
    if kind != "scrypt":
        return False
    found = hashlib.scrypt(password.encode(), salt=base64.b64decode(salt), n=_COST, r=_BLOCKS, p=1, maxmem=_MEMORY)
    return hmac.compare_digest(found, base64.b64decode(digest))


class TokenSource(Protocol):
    """Gives out tokens and says whose one is. Both raise Refusal."""

    @property
    def is_logged(self) -> bool:
        """Whether the other members learn of a token by the log, without which they do not know it."""
        ...

    def issue(self, user: str, revision: int) -> str: ...

    def caller(self, token: str) -> Caller: ...


class Tokens:
    """The tokens that this member has seen assigned. They end when they are not used for a while, and by a restart."""

    is_logged = True

    def __init__(self, accounts: Accounts, clock: Clock, rng: Rng, seconds: float = TOKEN_SECONDS) -> None:
        self._accounts = accounts
        self._clock = clock
        self._rng = rng
        self._seconds = seconds
        self._users: dict[str, tuple[str, float]] = {}
        accounts.on_assigned = self._assign
        accounts.on_revoked = self._revoke

    def issue(self, user: str, revision: int) -> str:
        """It counts from when the log assigns it."""
        return f"{self._rng.getrandbits(_TOKEN_BITS):032x}"

    def caller(self, token: str) -> Caller:
        found = self._users.get(token)
        now = self._clock.monotonic()
        if found is None or found[1] < now:
            self._users.pop(token, None)
            raise refused("invalid auth token")
        self._users[token] = (found[0], now + self._seconds)
        return Caller(found[0], self._accounts.revision)

    def _assign(self, user: str, token: str) -> None:
        now = self._clock.monotonic()
        for old in [old for old, (_, until) in self._users.items() if until < now]:
            del self._users[old]
        self._users[token] = (user, now + self._seconds)

    def _revoke(self, user: str) -> None:
        if user:
            self._users = {token: found for token, found in self._users.items() if found[0] != user}
        else:
            self._users.clear()
