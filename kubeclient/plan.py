"""What a controller wants done, as data: batches of actions, carried out in order.

A plan is made from one look at the caches and one `now`. The actions of a batch are independent of each other; a batch
begins when the one before it succeeded. When anything fails the key comes back later and a new plan is made.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from kubeclient.rest import MERGE, STRATEGIC

JSON = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Announce:
    """Events to record once the outcome of an action is known; `{name}` and `{error}` are filled in."""

    reference: JSON
    done: tuple[str, str] | None = None  # (reason, message) of a Normal event
    failed: tuple[str, str] | None = None  # (reason, message) of a Warning event


@dataclass(frozen=True, slots=True)
class Create:
    """POST to a collection (`/api/v1/namespaces/x/pods`)."""

    path: str
    body: JSON
    exists_is_fine: bool = False
    announce: Announce | None = None


@dataclass(frozen=True, slots=True)
class Replace:
    """PUT to an object or a subresource; the body's resourceVersion makes it conditional."""

    path: str
    body: JSON


@dataclass(frozen=True, slots=True)
class Patch:
    """A patch of an object or subresource (`…/status`). Put uid and resourceVersion in to make it conditional."""

    path: str
    body: Any
    content_type: str = STRATEGIC
    gone_is_fine: bool = True


@dataclass(frozen=True, slots=True)
class Delete:
    path: str
    uid: str = ""
    resource_version: str = ""
    propagation: str = "Background"
    grace_seconds: int | None = None
    announce: Announce | None = None


@dataclass(frozen=True, slots=True)
class Event:
    reference: JSON
    type: str
    reason: str
    message: str


Action = Create | Replace | Patch | Delete | Event


@dataclass(frozen=True, slots=True)
class Plan:
    """`requeue_after`: seconds until the key should be looked at again though nothing changed."""

    batches: Sequence[Sequence[Action]] = field(default_factory=tuple)
    requeue_after: float | None = None

    @property
    def is_empty(self) -> bool:
        return not any(self.batches)


NOTHING = Plan()


def merge_status(path: str, status: JSON, resource_version: str = "") -> Patch:
    """A merge patch of the status subresource, conditional when a resourceVersion is given."""
    body: JSON = {"status": status}
    if resource_version:
        body["metadata"] = {"resourceVersion": resource_version}
    return Patch(f"{path}/status", body, MERGE)


def collection_and_key(path: str, name: str = "") -> tuple[str, str]:
    """`/api/v1/namespaces/x/pods/y/status` -> (`/api/v1/pods`, `x/y`); for a POST give the created object's name."""
    parts = path.strip("/").split("/")
    head, rest = (parts[:2], parts[2:]) if parts[0] == "api" else (parts[:3], parts[3:])
    namespace = ""
    if rest[0] == "namespaces" and len(rest) > 2 and rest[2] not in ("status", "finalize"):
        namespace, rest = rest[1], rest[2:]
    name = name or (rest[1] if len(rest) > 1 else "")
    collection = "/" + "/".join([*head, rest[0]])
    return collection, f"{namespace}/{name}" if namespace else name
