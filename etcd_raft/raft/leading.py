"""What a leader does: heartbeats, replication, commitment, reads, transfer (thesis 3.5, 3.6.2, 3.10, 6.2, 6.4).

A leader commits an entry once a majority holds it durably *and* it is of the leader's own term. Its own copy counts
when the caller has persisted it, like anybody else's.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from etcd_raft.raft.messages import NOBODY, EntryKind, Kind, Message, ReadState
from etcd_raft.raft.progress import ProgressState
from etcd_raft.raft.quorum import VoteResult, joint_committed_index, joint_vote_result

if TYPE_CHECKING:
    from etcd_raft.raft.core import Raft


def tick(raft: Raft) -> None:
    raft.heartbeat_elapsed += 1
    raft.election_elapsed += 1
    if raft.election_elapsed >= raft.config.election_ticks:
        raft.election_elapsed = 0
        if raft.config.check_quorum and not _quorum_is_active(raft):
            raft.become_follower(raft.term, NOBODY)
            return
        raft.transferee = NOBODY  # A transfer that takes longer than an election has failed.
    if raft.heartbeat_elapsed >= raft.config.heartbeat_ticks:
        raft.heartbeat_elapsed = 0
        broadcast_heartbeat(raft)


def _quorum_is_active(raft: Raft) -> bool:
    active = {raft.id: True}
    for member, progress in raft.progress.items():
        if member != raft.id:
            active[member] = progress.recently_active
            progress.recently_active = False
    result = joint_vote_result(raft.configuration.voters, raft.configuration.outgoing, active)
    return result is VoteResult.WON


# Replication


def broadcast_if_due(raft: Raft) -> None:
    """Everything since the last call travels together: a new commit index with the entries that came meanwhile."""
    if raft.is_broadcast_due:
        raft.is_broadcast_due = False
        broadcast_append(raft)


def broadcast_append(raft: Raft) -> None:
    for member in sorted(raft.progress):
        if member != raft.id:
            send_append(raft, member, even_if_empty=True)


def broadcast_heartbeat(raft: Raft) -> None:
    context = raft.reads.newest_context()
    for member in sorted(raft.progress):
        if member != raft.id:
            commit = min(raft.progress[member].match, raft.log.committed)
            raft.send(Message(Kind.HEARTBEAT, member, raft.id, raft.term, commit=commit, context=context))


def send_append(raft: Raft, to: int, even_if_empty: bool) -> bool:
    """Send what `to` lacks, or a snapshot if the log no longer has it; False if nothing was sent."""
    progress, log = raft.progress[to], raft.log
    if progress.is_paused():
        return False
    previous = progress.next - 1
    previous_term = log.term(previous)
    if previous_term is None:
        return _send_snapshot(raft, to)
    entries = log.slice(progress.next, log.last_index + 1, raft.config.max_append_bytes)
    if not entries and not even_if_empty:
        return False
    raft.send(Message(Kind.APPEND, to, raft.id, raft.term, previous_term, previous, entries, log.committed))
    progress.sent(entries[-1].index if entries else None)
    return True


def _send_snapshot(raft: Raft, to: int) -> bool:
    progress = raft.progress[to]
    if not progress.recently_active:
        return False
    snapshot = raft.log.snapshot
    assert snapshot.index > 0, "entries vanished without a snapshot"
    raft.send(Message(Kind.SNAPSHOT, to, raft.id, raft.term, snapshot=snapshot))
    progress.become_snapshot(snapshot.index)
    return True


def commit_and_broadcast(raft: Raft) -> bool:
    """Move the commit index as far as a majority allows; the next broadcast tells everybody. True if it moved."""
    match = {member: progress.match for member, progress in raft.progress.items()}
    index = joint_committed_index(raft.configuration.voters, raft.configuration.outgoing, match)
    # Entries of older terms are committed only along with one of ours (section 3.6.2, figure 3.7).
    if index <= raft.log.committed or raft.log.term(index) != raft.term:
        return False
    raft.log.commit_to(index)
    _release_waiting_reads(raft)
    raft.is_broadcast_due = True
    return True


def own_log_is_stable(raft: Raft) -> None:
    """The caller persisted entries: the leader's own copy now counts."""
    progress = raft.progress.get(raft.id)
    if progress is not None and progress.acknowledged(raft.log.stable):
        commit_and_broadcast(raft)


def handle_append_response(raft: Raft, message: Message) -> None:
    progress = raft.progress.get(message.sender)
    if progress is None:
        return
    progress.recently_active = True
    if message.reject:
        hint = message.reject_hint
        if message.log_term > 0:
            hint = raft.log.conflict_hint(hint, message.log_term)[0]
        if progress.rejected(message.index, hint):
            if progress.state is ProgressState.REPLICATE:
                progress.become_probe()
            send_append(raft, message.sender, even_if_empty=True)
        return
    was_paused = progress.is_paused()
    is_news = progress.acknowledged(message.index)
    if is_news or (progress.match == message.index and progress.state is ProgressState.PROBE):
        _advance_state(raft, message.sender, message.index)
        if not commit_and_broadcast(raft) and was_paused:
            send_append(raft, message.sender, even_if_empty=True)
        while send_append(raft, message.sender, even_if_empty=False):
            pass  # Several messages, if what is missing exceeds one message's size.
    if message.sender == raft.transferee and progress.match == raft.log.last_index:
        raft.send(Message(Kind.TIMEOUT_NOW, message.sender, raft.id, raft.term))


def _advance_state(raft: Raft, member: int, index: int) -> None:
    progress = raft.progress[member]
    if progress.state is ProgressState.PROBE:
        progress.become_replicate()
    elif progress.state is ProgressState.SNAPSHOT:
        if progress.match + 1 >= raft.log.first:
            progress.become_probe()
            progress.become_replicate()
    else:
        progress.free_inflight(index)


def handle_heartbeat_response(raft: Raft, message: Message) -> None:
    progress = raft.progress.get(message.sender)
    if progress is None:
        return
    progress.recently_active = True
    progress.probe_sent = False
    if len(progress.inflight) >= progress.max_inflight:
        progress.inflight.popleft()  # One more try per heartbeat, should the whole window have been lost.
    if progress.match < raft.log.last_index or progress.state is ProgressState.PROBE:
        send_append(raft, message.sender, even_if_empty=True)
    if message.context:
        _confirm_read(raft, message.sender, message.context)


def report_snapshot(raft: Raft, to: int, arrived: bool) -> None:
    progress = raft.progress.get(to)
    if raft.role.value != "leader" or progress is None or progress.state is not ProgressState.SNAPSHOT:
        return
    if not arrived:
        progress.pending_snapshot = 0
    progress.become_probe()
    # Wait for the answer to the snapshot, or for the next heartbeat, before probing again.
    progress.probe_sent = True


def report_unreachable(raft: Raft, to: int) -> None:
    progress = raft.progress.get(to)
    if raft.role.value == "leader" and progress is not None and progress.state is ProgressState.REPLICATE:
        progress.become_probe()


# Proposals


def propose(raft: Raft, entries: Sequence[tuple[bytes, EntryKind]]) -> bool:
    if raft.transferee != NOBODY:
        return False
    if any(kind is EntryKind.MEMBERSHIP for _, kind in entries):
        if len(entries) > 1 or raft.pending_change_index > raft.log.applied:
            return False  # One change at a time (section 4.1), and only after the term's first commit.
        if not raft.is_committed_in_term():
            return False
        raft.pending_change_index = raft.log.last_index + 1
    raft.append_own(entries)
    raft.is_broadcast_due = True
    return True


def handle_proposal(raft: Raft, message: Message) -> None:
    propose(raft, [(entry.data, entry.kind) for entry in message.entries])


# Reads


def read_index(raft: Raft, requester: int, context: bytes) -> None:
    if not raft.is_committed_in_term():
        raft.reads.waiting_for_commit.append((requester, context))
        return
    raft.reads.add(requester, context, raft.log.committed)
    if raft.configuration.voters == {raft.id}:
        _confirm_read(raft, raft.id, context)
    else:
        broadcast_heartbeat(raft)


def handle_read_index(raft: Raft, message: Message) -> None:
    read_index(raft, message.sender, message.context)


def _release_waiting_reads(raft: Raft) -> None:
    waiting, raft.reads.waiting_for_commit = raft.reads.waiting_for_commit, []
    for requester, context in waiting:
        read_index(raft, requester, context)


def _confirm_read(raft: Raft, member: int, context: bytes) -> None:
    confirmed = raft.reads.confirm(member, context)
    if not confirmed:
        return
    votes = {**confirmed, raft.id: True}
    result = joint_vote_result(raft.configuration.voters, raft.configuration.outgoing, votes)
    if result is not VoteResult.WON:
        return
    for read in raft.reads.release(context):
        if read.requester == raft.id:
            raft.read_states.append(ReadState(read.index, read.context))
        else:
            raft.send(
                Message(
                    Kind.READ_INDEX_RESPONSE,
                    read.requester,
                    raft.id,
                    raft.term,
                    index=read.index,
                    context=read.context,
                )
            )


# Transfer


def transfer(raft: Raft, to: int) -> None:
    if to == raft.id or to not in raft.configuration.voters or raft.transferee == to:
        return
    raft.transferee = to
    raft.election_elapsed = 0
    if raft.progress[to].match == raft.log.last_index:
        raft.send(Message(Kind.TIMEOUT_NOW, to, raft.id, raft.term))
    else:
        send_append(raft, to, even_if_empty=True)


def handle_transfer(raft: Raft, message: Message) -> None:
    transfer(raft, message.sender)
