"""Who votes and who only listens, and how that changes: one member at a time (thesis section 4.1).

A change moves through the log as an entry and takes effect when it is applied. Because a majority of the old and a
majority of the new configuration always share a member when one voter is added or removed, no joint phase is needed;
the leader keeps to one unapplied change at a time. `outgoing` exists so that the arithmetic is ready for joint changes
and so that tests may check it; single steps leave it empty.
"""

from __future__ import annotations

from enum import IntEnum

import msgspec


class ChangeKind(IntEnum):
    ADD_VOTER = 0
    """Also promotes a learner."""
    ADD_LEARNER = 1
    REMOVE = 2
    UPDATE = 3
    """New attributes; the configuration stays."""


class Change(msgspec.Struct, frozen=True, array_like=True):
    kind: ChangeKind
    member_id: int
    context: bytes = b""
    """The proposer's own words about the change; the core passes them through."""


class Configuration(msgspec.Struct, frozen=True):
    voters: frozenset[int] = frozenset()
    learners: frozenset[int] = frozenset()
    outgoing: frozenset[int] = frozenset()

    def members(self) -> frozenset[int]:
        return self.voters | self.learners | self.outgoing


class MembershipError(ValueError):
    """The change makes no sense in the configuration it meets."""


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Change)


def encode_change(change: Change) -> bytes:
    return _encoder.encode(change)


def decode_change(data: bytes) -> Change:
    return _decoder.decode(data)


def changed(configuration: Configuration, change: Change) -> Configuration:
    """The configuration after `change`; changes that find their work done already leave it as it is."""
    voters, learners, who = configuration.voters, configuration.learners, change.member_id
    if who <= 0:
        raise MembershipError(f"member id {who} is not a member id")
    match change.kind:
        case ChangeKind.ADD_VOTER:
            voters, learners = voters | {who}, learners - {who}
        case ChangeKind.ADD_LEARNER:
            if who in voters:
                raise MembershipError(f"member {who:x} votes already: it cannot become a learner")
            learners = learners | {who}
        case ChangeKind.REMOVE:
            if voters == {who}:
                raise MembershipError(f"member {who:x} is the last voter: it cannot be removed")
            voters, learners = voters - {who}, learners - {who}
        case ChangeKind.UPDATE:
            return configuration
    assert len(configuration.voters ^ voters) <= 1, "single-step changes alter one voter at most"
    return Configuration(voters=voters, learners=learners, outgoing=configuration.outgoing)
