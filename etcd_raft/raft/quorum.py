"""Arithmetic of majorities and joint majorities (thesis sections 3.5, 4.3). Pure functions on sets of member ids.

A joint quorum is a majority in each of two sets. The empty set has every quorum, so a plain majority is the joint
quorum with an empty second set.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from enum import Enum


class VoteResult(Enum):
    PENDING = "pending"
    WON = "won"
    LOST = "lost"


def quorum_size(voters: Collection[int]) -> int:
    return len(voters) // 2 + 1


def committed_index(voters: Collection[int], match: Mapping[int, int]) -> int | None:
    """The highest index that a majority of `voters` is known to hold; None (no bound) for the empty set."""
    if not voters:
        return None
    ordered = sorted((match.get(voter, 0) for voter in voters), reverse=True)
    return ordered[len(ordered) // 2]


def joint_committed_index(incoming: Collection[int], outgoing: Collection[int], match: Mapping[int, int]) -> int:
    bounds = [b for b in (committed_index(incoming, match), committed_index(outgoing, match)) if b is not None]
    return min(bounds) if bounds else 0


def vote_result(voters: Collection[int], votes: Mapping[int, bool]) -> VoteResult:
    if not voters:
        return VoteResult.WON
    granted = sum(1 for voter in voters if votes.get(voter) is True)
    missing = sum(1 for voter in voters if voter not in votes)
    needed = quorum_size(voters)
    if granted >= needed:
        return VoteResult.WON
    return VoteResult.PENDING if granted + missing >= needed else VoteResult.LOST


def joint_vote_result(incoming: Collection[int], outgoing: Collection[int], votes: Mapping[int, bool]) -> VoteResult:
    results = {vote_result(incoming, votes), vote_result(outgoing, votes)}
    if results == {VoteResult.WON}:
        return VoteResult.WON
    return VoteResult.LOST if VoteResult.LOST in results else VoteResult.PENDING
