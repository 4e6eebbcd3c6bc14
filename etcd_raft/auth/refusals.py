"""What authentication and authorization refuse, with the codes and texts that etcd's clients match on."""

from __future__ import annotations

from typing import Final

from etcd_raft.ports import Refusal

_INVALID: Final = 3
_DENIED: Final = 7
_PRECONDITION: Final = 9
_UNAUTHENTICATED: Final = 16

_TEXTS: Final = {
    "root user does not exist": _PRECONDITION,
    "root user does not have root role": _PRECONDITION,
    "user name already exists": _PRECONDITION,
    "user name is empty": _INVALID,
    "user name not found": _PRECONDITION,
    "role name already exists": _PRECONDITION,
    "role name not found": _PRECONDITION,
    "role name is empty": _INVALID,
    "authentication failed, invalid user ID or password": _INVALID,
    "permission not given": _INVALID,
    "permission denied": _DENIED,
    "role is not granted to the user": _PRECONDITION,
    "permission is not granted to the role": _PRECONDITION,
    "authentication is not enabled": _PRECONDITION,
    "invalid auth token": _UNAUTHENTICATED,
    "invalid auth management": _INVALID,
    "revision of auth store is old": _INVALID,
}


def refused(text: str) -> Refusal:
    """One of the texts above."""
    return Refusal(_TEXTS[text], "etcdserver: " + text)
