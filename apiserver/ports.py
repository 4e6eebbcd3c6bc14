"""Where the parts of the apiserver meet: who asks, who may, what admission sees, how objects are reached.

`authn/`, `authz/` and `admission/` know nothing of HTTP or of the store; `endpoints/` knows nothing of how tokens are
verified or rules evaluated. They all speak in the types of this file.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Protocol

from apimachinery.resources import ResourceInfo

JSON = dict[str, Any]


# -- Who


@dataclass(frozen=True, slots=True)
class User:
    name: str
    groups: tuple[str, ...] = ()
    uid: str = ""
    extra: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


ANONYMOUS = User("system:anonymous", ("system:unauthenticated",))
#: What the apiserver does for itself: its own objects at start, garbage of its own.
LOOPBACK = User("system:apiserver", ("system:masters", "system:authenticated"))


@dataclass(frozen=True, slots=True)
class Credentials:
    """All of a request that may prove who sent it.

    Header names are lower case. The values of a header that came several times are joined by a newline, which no
    header value can hold: group names may well hold commas.
    """

    headers: Mapping[str, str]
    client_certificate: bytes | None = None  # DER, verified by TLS against --client-ca-file or the request-header CA
    websocket_token: str | None = None  # from a `base64url.bearer.authorization.k8s.io.…` subprotocol


class Authenticator(Protocol):
    async def authenticate(self, credentials: Credentials) -> User | None:
        """None: nothing here that this authenticator understands. Raises StatusError 401 for what it refuses."""
        ...


# -- What


@dataclass(frozen=True, slots=True)
class Attributes:
    """One question to the authorizers. `resource` is empty for plain paths (`/healthz`)."""

    user: User
    verb: str
    path: str = ""
    group: str = ""
    version: str = ""
    resource: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    field_selector: str = ""
    label_selector: str = ""


class Verdict(Enum):
    ALLOW = "allow"
    DENY = "deny"
    NO_OPINION = "no opinion"


class Authorizer(Protocol):
    async def authorize(self, attributes: Attributes) -> tuple[Verdict, str]:
        """The verdict and, for people, its reason."""
        ...


# -- Admission


class Operation(Enum):
    CREATE = "CREATE"
    UPDATE = "UPDATE"
    DELETE = "DELETE"
    CONNECT = "CONNECT"


@dataclass(slots=True)
class AdmissionRequest:
    """`obj` may be changed in place by mutating plugins; `old` never. `obj` is None for DELETE."""

    operation: Operation
    info: ResourceInfo
    subresource: str
    namespace: str
    name: str
    obj: JSON | None
    old: JSON | None
    user: User
    dry_run: bool = False
    options: Mapping[str, Any] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    kind: tuple[str, str, str] | None = None
    """Group, version and kind of `obj` where it is not of `info`'s kind: Scale, Eviction, PodExecOptions."""
    changed: bool = False
    """A webhook has changed `obj`: the plugins before it shall look again, once."""
    again: bool = False
    """They do."""
    memory: dict[str, Any] = field(default_factory=dict)
    """What a plugin remembers between its two looks, by its name."""
    annotations: dict[str, str] = field(default_factory=dict)
    """What plugins have to add to the request's entry in the audit log."""


class Admission(Protocol):
    """A plugin or a chain of them. Both raise StatusError (403 as a rule) to refuse."""

    async def mutate(self, request: AdmissionRequest) -> None: ...

    async def validate(self, request: AdmissionRequest) -> None: ...


# -- Objects


class Objects(Protocol):
    """All stored objects, for parts inside the apiserver; no authentication, authorisation or admission on the way.

    Reads come from the watch cache and may be shared: never change what you were given.
    """

    def get(self, info: ResourceInfo, namespace: str, name: str) -> JSON | None: ...

    def list(self, info: ResourceInfo, namespace: str = "") -> Sequence[JSON]: ...

    def labelled(self, info: ResourceInfo, namespace: str, label: str, value: str) -> Sequence[JSON]:
        """Those of a namespace whose label has this value; the cost does not grow with how many others there are."""
        ...

    async def get_latest(self, info: ResourceInfo, namespace: str, name: str) -> JSON | None:
        """From the store itself, linearizable."""
        ...

    async def create(self, info: ResourceInfo, obj: JSON) -> JSON:
        """Fills uid, creationTimestamp and defaults, validates, stores. Raises StatusError (409 AlreadyExists)."""
        ...

    async def update(
        self, info: ResourceInfo, namespace: str, name: str, change: Callable[[JSON], JSON | None]
    ) -> JSON:
        """Guaranteed update: `change` gets the newest object (a copy) and returns the new one, None for no change."""
        ...

    async def update_raw(
        self, info: ResourceInfo, namespace: str, name: str, change: Callable[[JSON], JSON | None]
    ) -> JSON:
        """As `update`, but what `change` returns is stored as it is, its status included."""
        ...

    async def delete(self, info: ResourceInfo, namespace: str, name: str) -> None:
        """Absent is fine."""
        ...

    def on_change(self, info: ResourceInfo, callback: Callable[[JSON | None, JSON | None], None]) -> None:
        """`callback(old, new)` for everything present and then for every change, in order, in the loop's thread."""
        ...

    async def synced(self, info: ResourceInfo) -> None:
        """Returns once the cache of this resource holds all that was stored at the time of the call."""
        ...


# -- Requests that are not stored objects

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Call:
    """An authenticated, authorised call of a subresource or virtual resource."""

    info: ResourceInfo
    subresource: str
    namespace: str
    name: str
    verb: str
    path_rest: str  # what follows `…/proxy/` in the URL
    user: User
    query: Sequence[tuple[str, str]]
    headers: Mapping[str, str]


class Connector(Protocol):
    """pods/{log,exec,attach,portforward,proxy}, nodes/proxy, services/proxy: owns the ASGI exchange from here on."""

    async def __call__(self, call: Call, scope: Scope, receive: Receive, send: Send) -> None: ...


class Answerer(Protocol):
    """Resources one can only create: TokenReview, the access reviews, serviceaccounts/token. Returns the answer."""

    async def __call__(self, call: Call, body: JSON) -> JSON: ...


Bytes = AsyncIterator[bytes]
