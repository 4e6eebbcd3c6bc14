"""What must hold in every moment of every run (thesis figure 3.2), and what clients were promised."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from etcd_raft.raft import Entry, Kind, Message, Role
from etcd_raft.replica import Replica


class Invariants:
    def __init__(self) -> None:
        self._leaders: dict[int, int] = {}
        self._votes: dict[tuple[int, int], int] = {}
        self._history: dict[int, tuple[int, bytes, int]] = {}
        """By index: term and data of what was applied first, and a term by which it was committed."""
        self._last: dict[int, tuple[int, int]] = {}
        self.promised: dict[bytes, int] = {}
        self.highest_acknowledged = 0
        self.reads_answered = 0

    def booted(self, member: int, replica: Replica) -> None:
        raft = replica.raw.raft
        self._last[member] = (raft.term, 0)

    def sent(self, message: Message) -> None:
        """Election safety, at its root: a member grants one vote a term."""
        if message.kind is Kind.VOTE_RESPONSE and not message.reject:
            before = self._votes.setdefault((message.term, message.sender), message.to)
            assert before == message.to, f"m{message.sender} voted twice in term {message.term}"
        elif message.kind is Kind.VOTE:
            before = self._votes.setdefault((message.term, message.sender), message.sender)
            assert before == message.sender, f"m{message.sender} voted for another and then for itself"

    def applied(self, member: int, term: int, entries: Iterable[Entry]) -> None:
        """State machine safety: the same entry at the same index, everywhere and for ever."""
        for entry in entries:
            known = self._history.setdefault(entry.index, (entry.term, entry.data, term))
            assert known[:2] == (entry.term, entry.data), f"m{member} applies another entry {entry.index}"

    def acknowledged(self, data: bytes, index: int) -> None:
        self.promised[data] = index
        self.highest_acknowledged = max(self.highest_acknowledged, index)

    def read(self, index: int, acknowledged_before: int) -> None:
        """Linearizability: a read sees what was acknowledged before it was asked for."""
        assert index >= acknowledged_before, f"a read at {index} misses an acknowledged write at {acknowledged_before}"
        self.reads_answered += 1

    def check(self, now: float, replicas: Mapping[int, Replica]) -> None:
        for member, replica in replicas.items():
            raft, log = replica.raw.raft, replica.raw.log
            term, committed = self._last[member]
            assert raft.term >= term, "terms only grow"
            assert log.committed >= committed, "what is committed stays committed"
            self._last[member] = (raft.term, log.committed)
            assert log.applied <= log.committed <= log.last_index
            assert log.stable <= log.last_index
            if raft.role is Role.LEADER:
                self._check_leader(member, replica)

    def _check_leader(self, member: int, replica: Replica) -> None:
        raft, log = replica.raw.raft, replica.raw.log
        if self._leaders.setdefault(raft.term, member) != member:
            raise AssertionError(f"two leaders in term {raft.term}: m{self._leaders[raft.term]} and m{member}")
        # Leader completeness. The newest entries suffice: log matching covers what is before them.
        for index in (max(self._history, default=0), self.highest_acknowledged):
            if index < log.first:
                continue
            term, _, committed_by = self._history[index]
            if raft.term > committed_by:
                assert log.term(index) == term, f"leader m{member} of term {raft.term} lacks entry {index}"

    def check_agreement(self, lines: Mapping[int, list[bytes]]) -> None:
        """At rest all members hold the same state, and it holds every acknowledged write."""
        first, *others = lines.values()
        assert all(other == first for other in others), {m: len(value) for m, value in lines.items()}
        held = set(first)
        lost = [data for data in self.promised if data not in held]
        assert not lost, f"{len(lost)} acknowledged writes are lost, first {lost[0]!r}"
