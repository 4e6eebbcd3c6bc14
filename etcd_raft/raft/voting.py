"""Elections: asking for votes, giving them, counting them (thesis sections 3.4, 3.6.1, 9.6).

With PreVote a member first asks whether a majority *would* vote for it, in words that change nobody's term; only then
does it enter a new term and ask for real votes.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING

from etcd_raft.raft import leading
from etcd_raft.raft.messages import NOBODY, EntryKind, Kind, Message
from etcd_raft.raft.quorum import VoteResult, joint_vote_result

if TYPE_CHECKING:
    from etcd_raft.raft.core import Raft

TRANSFER = b"transfer"
"""Context of votes asked for on the old leader's behalf: they need not wait for its silence."""


class Campaign(Enum):
    PRE_VOTE = "pre-vote"
    VOTE = "vote"
    TRANSFER = "transfer"


def campaign(raft: Raft, kind: Campaign) -> None:
    if any(entry.kind is EntryKind.MEMBERSHIP for entry in raft.log.unapplied()):
        return  # It would count the votes of an outdated configuration.
    if kind is Campaign.PRE_VOTE:
        raft.become_pre_candidate()
        request, term = Kind.PRE_VOTE, raft.term + 1
    else:
        raft.become_candidate()
        request, term = Kind.VOTE, raft.term
    if _count(raft, raft.id, granted=True):
        return
    context = TRANSFER if kind is Campaign.TRANSFER else b""
    for voter in sorted(raft.configuration.voters | raft.configuration.outgoing):
        if voter != raft.id:
            last, last_term = raft.log.last_index, raft.log.last_term
            raft.send(Message(request, voter, raft.id, term, last_term, last, context=context))


def _count(raft: Raft, voter: int, granted: bool) -> bool:
    """Count a vote; True if the election is decided."""
    raft.votes.setdefault(voter, granted)
    result = joint_vote_result(raft.configuration.voters, raft.configuration.outgoing, raft.votes)
    if result is VoteResult.PENDING:
        return False
    if result is VoteResult.LOST:
        raft.become_follower(raft.term, NOBODY)
    elif raft.role.value == "pre-candidate":
        campaign(raft, Campaign.VOTE)
    else:
        raft.become_leader()
        leading.broadcast_append(raft)
    return True


def handle_response(raft: Raft, message: Message) -> None:
    _count(raft, message.sender, granted=not message.reject)


def handle_request(raft: Raft, message: Message) -> None:
    is_pre_vote = message.kind is Kind.PRE_VOTE
    response = Kind.PRE_VOTE_RESPONSE if is_pre_vote else Kind.VOTE_RESPONSE
    is_free = (
        raft.vote == message.sender
        or (raft.vote == NOBODY and raft.leader == NOBODY)
        or (is_pre_vote and message.term > raft.term)
    )
    if not is_free or not raft.log.is_up_to_date(message.index, message.log_term):
        raft.send(Message(response, message.sender, raft.id, raft.term, reject=True))
        return
    if not is_pre_vote:
        raft.election_elapsed = 0
        raft.vote = message.sender
    # A granted pre-vote answers in the term asked about, which this member has not entered.
    raft.send(Message(response, message.sender, raft.id, message.term))
