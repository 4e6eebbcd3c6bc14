"""Membership changes as the servicers ask for them: what is refused before it is proposed, and in which words.

The same rules are checked again when a change is applied (`Roster.check`), where they are decisive; the checks here
need knowledge that is not replicated, such as which members have started and how far a learner has come.
"""

from __future__ import annotations

from collections.abc import Sequence

from etcd_raft import roster as words_of
from etcd_raft.ports import Member, Refusal, StatusCode, precondition
from etcd_raft.raft import Role
from etcd_raft.replica import Replica

NOT_ENOUGH_STARTED = "re-configuration failed due to not enough started members"
NOT_IN_SYNC = "can only promote a learner member which is in sync with leader"
READY_SHARE = 0.9
"""A learner may vote once it holds this share of the leader's log."""


def refusal_of(problem: Exception) -> Refusal:
    """What a failed check on apply looks like to a client."""
    text = str(problem)
    if not text.startswith("etcdserver: "):
        return precondition(text)
    code = StatusCode.NOT_FOUND if text == words_of.NOT_FOUND else StatusCode.FAILED_PRECONDITION
    return Refusal(code, text)


def check_add(members: Sequence[Member], is_learner: bool) -> None:
    """Adding a voter must not leave the cluster without a majority of started members."""
    if is_learner:
        return
    voters = [member for member in members if not member.is_learner]
    started = sum(bool(member.name) for member in voters)
    if len(voters) == 1 and started == 1:
        return  # The one case where a majority is lost until the new member has started: nobody could grow otherwise.
    if started < (len(voters) + 1) // 2 + 1:
        raise precondition(NOT_ENOUGH_STARTED)


def check_remove(members: Sequence[Member], member_id: int) -> None:
    voters = [member for member in members if not member.is_learner]
    gone = next((member for member in voters if member.id == member_id), None)
    if gone is None or not gone.name:
        return  # Learners and members that never started take part in no majority.
    left = len(voters) - 1
    started = sum(bool(member.name) for member in voters) - 1
    if left == 0 or started < left // 2 + 1:
        raise precondition(NOT_ENOUGH_STARTED)


def check_promote(replica: Replica, member_id: int) -> None:
    """On the leader: the learner must have caught up."""
    if replica.role is not Role.LEADER:
        return
    progress = replica.raw.raft.progress.get(member_id)
    if progress is not None and progress.is_learner:
        own = replica.raw.log.committed
        if progress.match < own * READY_SHARE:
            raise precondition(NOT_IN_SYNC)
