"""The members by name and address, beside the bare ids that the Raft core counts.

The roster changes only by applied entries, so it is the same on every member at the same index; it travels in the
header of snapshots. Ids are hashes, so that the members of a new cluster compute the same ids without talking.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

import msgspec

from etcd_raft.ports import Member
from etcd_raft.raft.membership import Change, ChangeKind, MembershipError

ID_REMOVED = NOT_FOUND = "etcdserver: member not found"
ID_EXISTS = "etcdserver: member ID already exist"
URLS_EXIST = "etcdserver: Peer URLs already exists"
NOT_LEARNER = "etcdserver: can only promote a learner member"
TOO_MANY_LEARNERS = "etcdserver: too many learner members in cluster"
MAX_LEARNERS = 1


class MemberWords(msgspec.Struct, frozen=True, array_like=True):
    """The context of a membership change: who asked, and what the member is called."""

    proposer: int
    request: int
    name: str = ""
    peer_urls: tuple[str, ...] = ()
    client_urls: tuple[str, ...] = ()


class _Saved(msgspec.Struct, frozen=True, array_like=True):
    members: tuple[tuple[int, str, tuple[str, ...], tuple[str, ...], bool], ...]
    removed: tuple[int, ...]


_encoder = msgspec.msgpack.Encoder()
_words = msgspec.msgpack.Decoder(MemberWords)


def encode_words(words: MemberWords) -> bytes:
    return _encoder.encode(words)


def decode_words(context: bytes) -> MemberWords:
    return _words.decode(context)


def _hash_id(*parts: str) -> int:
    digest = hashlib.sha256("\0".join(parts).encode()).digest()
    return int.from_bytes(digest[:8], "big") or 1


def member_id(peer_urls: Sequence[str], token: str, salt: str = "") -> int:
    """`salt` tells apart a member that is added again under the addresses of a removed one."""
    return _hash_id(token, salt, *sorted(peer_urls))


def cluster_id(member_ids: Sequence[int], token: str) -> int:
    return _hash_id("cluster", token, *(f"{member:x}" for member in sorted(member_ids)))


class Roster:
    def __init__(self, members: Mapping[int, Member] | None = None, removed: Sequence[int] = ()) -> None:
        self._members = dict(members or {})
        self.removed = set(removed)

    def get(self, member: int) -> Member | None:
        return self._members.get(member)

    def members(self) -> list[Member]:
        return sorted(self._members.values(), key=lambda m: m.id)

    def check(self, change: Change) -> None:
        """Raise MembershipError, in words that etcd's clients know, if the change contradicts this roster."""
        words, old = decode_words(change.context), self._members.get(change.member_id)
        if change.member_id in self.removed:
            raise MembershipError(ID_REMOVED)
        if change.kind in (ChangeKind.REMOVE, ChangeKind.UPDATE):
            if old is None:
                raise MembershipError(NOT_FOUND)
        elif old is not None:
            if change.kind is ChangeKind.ADD_LEARNER or words.peer_urls:
                raise MembershipError(ID_EXISTS)
            if not old.is_learner:
                raise MembershipError(NOT_LEARNER)
        elif not words.peer_urls:
            raise MembershipError(NOT_FOUND)
        if change.kind is ChangeKind.ADD_LEARNER:
            learners = sum(member.is_learner for member in self._members.values())
            if learners >= MAX_LEARNERS:
                raise MembershipError(TOO_MANY_LEARNERS)
        taken = {url for member in self._members.values() if member.id != change.member_id for url in member.peer_urls}
        if taken & set(words.peer_urls):
            raise MembershipError(URLS_EXIST)

    def apply(self, change: Change) -> None:
        words = decode_words(change.context)
        old = self._members.get(change.member_id)
        if change.kind is ChangeKind.REMOVE:
            self._members.pop(change.member_id, None)
            self.removed.add(change.member_id)
            return
        if change.member_id in self.removed:
            return  # Ids are never used twice; a late update must not bring a member back.
        is_learner = change.kind is ChangeKind.ADD_LEARNER
        if change.kind is ChangeKind.UPDATE:
            if old is None:
                return
            is_learner = old.is_learner
        self._members[change.member_id] = Member(
            id=change.member_id,
            name=words.name or (old.name if old else ""),
            peer_urls=words.peer_urls or (old.peer_urls if old else ()),
            client_urls=words.client_urls or (old.client_urls if old else ()),
            is_learner=is_learner,
        )

    def encode(self) -> bytes:
        members = tuple((m.id, m.name, m.peer_urls, m.client_urls, m.is_learner) for m in self.members())
        return _encoder.encode(_Saved(members, tuple(sorted(self.removed))))

    @classmethod
    def decode(cls, data: bytes) -> Roster:
        saved = msgspec.msgpack.decode(data, type=_Saved)
        return cls({row[0]: Member(*row) for row in saved.members}, saved.removed)
