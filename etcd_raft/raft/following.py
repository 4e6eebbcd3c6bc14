"""What a follower does with its leader's messages (thesis sections 3.5, 5.3), and how it passes on client requests.

Candidates use the same handlers: a message of their own term from a leader tells them that the election is over.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from etcd_raft.raft import voting
from etcd_raft.raft.messages import NOBODY, Kind, Message, ReadState

if TYPE_CHECKING:
    from etcd_raft.raft.core import Raft


def _acknowledge_leader(raft: Raft, message: Message) -> None:
    assert message.term == raft.term
    if raft.role.value != "follower":
        raft.become_follower(message.term, message.sender)
    assert raft.leader in (NOBODY, message.sender), f"two leaders in term {raft.term}: {raft.leader}, {message.sender}"
    raft.election_elapsed = 0
    raft.leader = message.sender


def handle_append(raft: Raft, message: Message) -> None:
    _acknowledge_leader(raft, message)
    log = raft.log
    answer = Kind.APPEND_RESPONSE
    if message.index < log.committed:
        raft.send(Message(answer, message.sender, raft.id, raft.term, index=log.committed))
        return
    matched = log.append_after(message.index, message.log_term, message.entries)
    if matched is not None:
        log.commit_to(min(message.commit, matched))
        raft.send(Message(answer, message.sender, raft.id, raft.term, index=matched))
        return
    # Name the last place where the logs can agree, so that the leader skips a whole divergent term (section 3.5).
    hint, hint_term = log.conflict_hint(message.index, message.log_term)
    raft.send(
        Message(
            answer,
            message.sender,
            raft.id,
            raft.term,
            log_term=hint_term or 0,
            index=message.index,
            reject=True,
            reject_hint=hint,
        )
    )


def handle_heartbeat(raft: Raft, message: Message) -> None:
    _acknowledge_leader(raft, message)
    # The leader caps `commit` at what this member has acknowledged; if that is not here, the disk has lost it.
    raft.log.commit_to(message.commit)
    raft.send(Message(Kind.HEARTBEAT_RESPONSE, message.sender, raft.id, raft.term, context=message.context))


def handle_snapshot(raft: Raft, message: Message) -> None:
    _acknowledge_leader(raft, message)
    snapshot = message.snapshot
    assert snapshot is not None
    log = raft.log
    if snapshot.index > log.committed:
        if log.matches(snapshot.index, snapshot.term):
            log.commit_to(snapshot.index)
        else:
            log.restore(snapshot)
            raft.adopt_snapshot_configuration(snapshot)
    raft.send(Message(Kind.APPEND_RESPONSE, message.sender, raft.id, raft.term, index=log.committed))


def handle_timeout_now(raft: Raft, message: Message) -> None:
    if raft.is_promotable():
        voting.campaign(raft, voting.Campaign.TRANSFER)


def handle_read_response(raft: Raft, message: Message) -> None:
    raft.read_states.append(ReadState(message.index, message.context))


def forward_proposal(raft: Raft, message: Message) -> None:
    """Whoever sent it believed this member to lead; once more is enough, or two confused members would play ball."""
    if raft.leader != NOBODY and raft.leader != message.sender:
        raft.send(Message(Kind.PROPOSE, raft.leader, raft.id, entries=message.entries))


def forward_read(raft: Raft, message: Message) -> None:
    """A read answered through a third member would be lost on the way back; its owner asks again."""


def forward_transfer(raft: Raft, message: Message) -> None:
    if raft.leader != NOBODY:
        raft.send(Message(Kind.TRANSFER_LEADER, raft.leader, message.sender, raft.term))
