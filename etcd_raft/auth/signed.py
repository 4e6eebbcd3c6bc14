"""Tokens that say themselves whose they are: JSON web tokens, as `--auth-token=jwt,…` asks for.

No member has to remember them, so they outlive restarts and password changes; they end by their time, or as soon as
the table of accounts changes, since each names the table's revision that it was made at (clients then log in again).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from component_base.clock import Clock
from component_base.flags import parse_duration
from etcd_raft.auth.accounts import Caller
from etcd_raft.auth.refusals import refused
from etcd_raft.ports import Refusal, StatusCode

_FAMILIES: Final = ("HS", "RS", "PS", "ES")
METHODS: Final = (*(f"{family}{bits}" for family in _FAMILIES for bits in (256, 384, 512)), "EdDSA")
DEFAULT_SECONDS: Final = 300.0
VERIFY_ONLY: Final = "auth: token signing attempted with verify-only key"


class SigningError(ValueError):
    """The keys cannot be used as the options say; one sentence."""


@dataclass(frozen=True, slots=True)
class SigningOptions:
    """What follows `jwt` in the flag: sign-method, pub-key, priv-key, ttl. With a public key alone, tokens that
    others sign are accepted and none are given out."""

    method: str
    public_file: Path | None = None
    private_file: Path | None = None
    seconds: float = DEFAULT_SECONDS


def parse_token_flag(text: str) -> SigningOptions | None:
    """Of `simple`, or `jwt,sign-method=…,priv-key=…,pub-key=…,ttl=…`; None for the first. Raises SigningError."""
    kind, *pairs = text.split(",")
    given: dict[str, str] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or "=" in value:
            raise SigningError(f"{pair!r} is not of the form option=value")
        if name in given:
            raise SigningError(f"{name} stands there twice")
        given[name] = value
    if kind == "simple":
        return None
    if kind != "jwt":
        raise SigningError(f"{kind!r} is no kind of token; give simple, or jwt,sign-method=…,priv-key=…")
    unknown = given.keys() - {"sign-method", "pub-key", "priv-key", "ttl"}
    if unknown:
        raise SigningError(f"{min(unknown)!r} is no option of jwt; there are sign-method, pub-key, priv-key and ttl")
    method = given.get("sign-method", "")
    if method not in METHODS:
        raise SigningError(f"jwt needs sign-method, one of {', '.join(METHODS)}")
    public, private = (Path(given[name]) if given.get(name) else None for name in ("pub-key", "priv-key"))
    try:
        seconds = parse_duration(given["ttl"]) if given.get("ttl") else DEFAULT_SECONDS
    except ValueError as problem:
        raise SigningError(f"ttl: {problem}") from None
    return SigningOptions(method, public, private, seconds)


class SignedTokens:
    """Raises SigningError if the key files do not fit."""

    is_logged = False

    def __init__(self, options: SigningOptions, clock: Clock) -> None:
        # Most stores have no accounts: they need not hold this library.
        import jwt

        self._jwt: Any = jwt
        self._clock = clock
        self._method = options.method
        self._seconds = options.seconds
        self._algorithm = jwt.get_algorithm_by_name(options.method)
        self._private, self._public = self._keys(options)

    def _keys(self, options: SigningOptions) -> tuple[Any, Any]:
        if options.method.startswith("HS"):
            if options.private_file is None:
                raise SigningError(f"{options.method} needs a secret: give priv-key=FILE")
            secret = self._load(options.private_file)
            return secret, secret
        private = None if options.private_file is None else self._load(options.private_file)
        public = None if options.public_file is None else self._load(options.public_file)
        if private is None and public is None:
            raise SigningError(f"{options.method} needs a key: give priv-key=FILE, or pub-key=FILE to verify only")
        if private is not None and not hasattr(private, "public_key"):
            raise SigningError(f"{options.private_file} holds a public key; give it as pub-key")
        if public is not None and hasattr(public, "public_key"):
            raise SigningError(f"{options.public_file} holds a private key; give it as priv-key")
        if private is not None and public is not None and not _are_pair(private, public):
            raise SigningError(f"{options.public_file} is not the public key of {options.private_file}")
        return private, private.public_key() if private is not None else public

    def _load(self, file: Path) -> Any:
        content = file.read_bytes()
        if not content.strip():
            raise SigningError(f"{file} is empty; it has to hold a key for {self._method}")
        try:
            return self._algorithm.prepare_key(content)
        except (self._jwt.PyJWTError, ValueError, TypeError) as problem:
            raise SigningError(f"{file} holds no key for {self._method}: {problem}") from None

    def issue(self, user: str, revision: int) -> str:
        if self._private is None:
            raise Refusal(StatusCode.UNKNOWN, VERIFY_ONLY)
        claims = {"username": user, "revision": revision, "exp": int(self._clock.now() + self._seconds)}
        return str(self._jwt.encode(claims, self._private, self._method))

    def caller(self, token: str) -> Caller:
        try:
            # Times are compared by our own clock, below.
            claims = self._jwt.decode(
                token, self._public, [self._method], {"verify_exp": False, "verify_nbf": False, "verify_iat": False}
            )
        except self._jwt.PyJWTError:
            raise refused("invalid auth token") from None
        now, user, revision = self._clock.now(), claims.get("username"), claims.get("revision")
        starts, ends = claims.get("nbf", 0), claims.get("exp", now + 1)
        if not isinstance(user, str) or not _are_numbers((revision, starts, ends)) or not starts <= now < ends:
            raise refused("invalid auth token")
        return Caller(user, int(revision))


def _are_numbers(values: Sequence[Any]) -> bool:
    return all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)


def _are_pair(private: Any, public: Any) -> bool:
    return bool(private.public_key() == public)
