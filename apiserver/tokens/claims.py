"""What a ServiceAccount token says about its account and about the object it is bound to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from apiserver.authn.service_account import username
from apiserver.ports import JSON


@dataclass(frozen=True, slots=True)
class Bound:
    """The object with which a token ends; a pod's node is only told, not checked."""

    pod: JSON | None = None
    secret: JSON | None = None
    node: JSON | None = None


@dataclass(frozen=True, slots=True)
class Lifetime:
    """Seconds. `warn_after` marks tokens whose owner should have read a newer one by then."""

    now: float
    seconds: int
    warn_after: int = 0


def claims(
    issuer: str, account: JSON, bound: Bound, lifetime: Lifetime, audiences: Sequence[str], identifier: str
) -> dict[str, Any]:
    metadata = account["metadata"]
    private: dict[str, Any] = {"namespace": metadata["namespace"]}
    now = int(lifetime.now)
    for key, obj in (("node", bound.node), ("pod", bound.pod), ("secret", bound.secret)):
        if obj is not None:
            private[key] = reference(obj)
    private["serviceaccount"] = reference(account)
    if lifetime.warn_after:
        private["warnafter"] = now + lifetime.warn_after
    return {
        "aud": list(audiences),
        "exp": now + lifetime.seconds,
        "iat": now,
        "iss": issuer,
        "jti": identifier,
        "kubernetes.io": private,
        "nbf": now,
        "sub": username(metadata["namespace"], metadata["name"]),
    }


def reference(obj: JSON) -> dict[str, str]:
    metadata = obj["metadata"]
    return {key: metadata[key] for key in ("name", "uid") if metadata.get(key)}
