"""What the store's keys hold, as plain values: the messages they arrive in are not kept."""

from __future__ import annotations

from typing import Any

import msgspec


class KeyValue(msgspec.Struct, frozen=True, gc=False):
    """A key as of some revision. `version` counts the writes since it was created; a deleted key has 0 everywhere."""

    key: bytes
    value: bytes
    create_revision: int
    mod_revision: int
    version: int
    lease: int


def key_value(message: Any) -> KeyValue:
    return KeyValue(
        message.key, message.value, message.create_revision, message.mod_revision, message.version, message.lease
    )
