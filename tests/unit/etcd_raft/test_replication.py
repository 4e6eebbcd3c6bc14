"""Replication by the thesis: log matching, the commit rule of figure 3.7, repair of divergent logs, flow control."""

from __future__ import annotations

from etcd_raft.raft import Configuration, Entry, HardState, Kind, Message, RaftConfig, SnapshotMeta
from etcd_raft.raft.progress import ProgressState
from tests.unit.etcd_raft.network import Network, founded, trio


def log_of(net: Network, member: int) -> list[tuple[int, int, bytes]]:
    log = net.nodes[member].log
    return [(e.index, e.term, e.data) for e in log.slice(log.first, log.last_index + 1, 1 << 30)]


def test_proposals_reach_everybody_in_order() -> None:
    net = trio()
    net.elect(1)
    for n in range(20):
        net.propose(1, b"%d" % n)
    net.tick(2)
    expected = [b"%d" % n for n in range(20)]
    assert net.data(1) == net.data(2) == net.data(3) == expected


def test_a_follower_forwards_and_a_leaderless_one_refuses() -> None:
    net = trio()
    assert not net.propose(2, b"x")
    net.elect(1)
    assert net.propose(2, b"x")
    assert net.data(2) == [b"x"]


def test_nothing_commits_without_a_majority() -> None:
    net = trio()
    net.elect(1)
    net.isolate(2, 3)
    net.propose(1, b"x")
    assert net.data(1) == []
    net.heal()
    net.tick(2)
    assert net.data(1) == net.data(2) == [b"x"]


def test_a_leader_counts_its_own_copy_only_when_durable() -> None:
    node = founded(1, (1,))
    net = Network(node)
    net.elect(1)
    node.propose([b"x"])
    ready = node.ready()
    assert ready is not None
    assert [e.data for e in ready.entries] == [b"x"]
    assert not ready.committed
    node.advance(ready)
    ready = node.ready()
    assert ready is not None
    assert [e.data for e in ready.committed] == [b"x"]
    assert not ready.must_sync, "one write for one proposal"
    node.advance(ready)


def test_entries_of_older_terms_commit_only_along_with_one_of_the_leaders_own() -> None:
    """Figure 3.7: an old entry on a majority is not yet safe."""
    old = Entry(2, 2, b"old")
    net = Network(
        founded(1, (1, 2, 3), entries=(old,), hard_state=HardState(2, 0, 1)),
        founded(2, (1, 2, 3), entries=(old,), hard_state=HardState(2, 0, 1)),
        founded(3, (1, 2, 3), hard_state=HardState(2, 0, 1)),
    )
    node = net.nodes[1]
    net.drop = lambda m: m.kind is Kind.APPEND
    node.campaign()
    net.settle()
    term = node.raft.term
    # 2 says that it holds the old entry; 2 of 3 have it, yet it must not commit.
    node.step(Message(Kind.APPEND_RESPONSE, 1, 2, term=term, index=2))
    net.settle()
    assert node.log.committed == 1
    net.heal()
    net.tick(2)
    assert node.log.committed == 3
    assert [e.data for e in net.applied[3]] == [b"old", b""]


def test_divergent_logs_become_the_leaders() -> None:
    """Figure 3.6: missing and surplus entries of several terms."""
    common = [Entry(2, 1, b"a"), Entry(3, 1, b"b")]
    leader = [*common, Entry(4, 4, b"c"), Entry(5, 5, b"d"), Entry(6, 6, b"e")]
    surplus = [*common, *(Entry(n, 2, b"x") for n in range(4, 7)), *(Entry(n, 3, b"y") for n in range(7, 30))]
    net = Network(
        founded(1, (1, 2, 3), entries=leader, hard_state=HardState(6, 0, 1)),
        founded(2, (1, 2, 3), entries=surplus, hard_state=HardState(3, 0, 1)),
        founded(3, (1, 2, 3), entries=common[:1], hard_state=HardState(4, 0, 1)),
    )
    net.elect(1)
    net.tick(3)
    assert log_of(net, 2) == log_of(net, 1) == log_of(net, 3)
    rejections = sum(1 for m in net.sent if m.kind is Kind.APPEND_RESPONSE and m.reject and m.sender == 2)
    assert rejections <= 3, "whole terms are skipped, not single entries"


def test_an_append_that_does_not_fit_is_rejected_with_a_hint() -> None:
    node = founded(1, (1, 2, 3), entries=(Entry(2, 1, b"a"),))
    net = Network(node)
    node.step(Message(Kind.APPEND, 1, 2, term=3, log_term=3, index=9, entries=(Entry(10, 3, b"z"),), commit=10))
    net.settle()
    answer = net.sent[-1]
    assert (answer.reject, answer.index, answer.reject_hint, answer.log_term) == (True, 9, 2, 1)
    assert node.log.committed == 1


def test_duplicated_and_reordered_appends_change_nothing() -> None:
    net = trio()
    net.elect(1)
    net.propose(1, b"a")
    first = [m for m in net.sent if m.kind is Kind.APPEND and m.to == 2 and m.entries]
    net.propose(1, b"b")
    before = log_of(net, 2)
    for message in reversed(first):
        net.nodes[2].step(message)
    net.settle()
    assert log_of(net, 2) == before


def test_a_heartbeat_never_commits_what_the_follower_has_not_acknowledged() -> None:
    net = trio()
    net.elect(1)
    net.isolate(3)
    net.propose(1, b"a", b"b")
    net.drop = lambda m: m.kind is Kind.APPEND and m.to == 3
    net.tick(3)
    assert net.nodes[3].log.committed < net.nodes[1].log.committed
    net.heal()
    net.tick(3)
    assert net.data(3) == [b"a", b"b"]


def test_the_window_bounds_what_is_in_flight() -> None:
    config = RaftConfig(member_id=1, max_inflight=4)
    net = Network(founded(1, (1, 2, 3), config=config), founded(2, (1, 2, 3)), founded(3, (1, 2, 3)))
    net.elect(1)
    net.drop = lambda m: m.kind is Kind.APPEND and m.to == 3
    net.sent.clear()
    for _ in range(20):
        net.propose(1, b"x")
    assert len(net.nodes[1].raft.progress[3].inflight) == 4
    net.heal()
    net.tick(8)
    assert len(net.data(3)) == 20


def test_a_lagging_follower_gets_many_entries_in_bounded_messages() -> None:
    config = RaftConfig(member_id=1, max_append_bytes=2000)
    net = Network(founded(1, (1, 2, 3), config=config), founded(2, (1, 2, 3)), founded(3, (1, 2, 3)))
    net.elect(1)
    net.isolate(3)
    for n in range(50):
        net.propose(1, b"%100d" % n)
    net.heal()
    net.sent.clear()
    net.tick(3)
    assert len(net.data(3)) == 50
    assert max(sum(len(e.data) for e in m.entries) for m in net.sent if m.kind is Kind.APPEND) <= 2000


def test_a_follower_behind_the_compaction_gets_a_snapshot() -> None:
    config = RaftConfig(member_id=1, catch_up_entries=2)
    net = Network(founded(1, (1, 2, 3), config=config), founded(2, (1, 2, 3)), founded(3, (1, 2, 3)))
    net.elect(1)
    net.isolate(3)
    for n in range(10):
        net.propose(1, b"%d" % n)
    node = net.nodes[1]
    meta = SnapshotMeta(node.log.applied, node.raft.term, Configuration(frozenset((1, 2, 3))))
    node.compact(meta)
    assert node.log.first > 2
    net.heal()
    net.sent.clear()
    net.tick(3)
    assert net.count(Kind.SNAPSHOT) == 1
    assert net.nodes[3].log.committed == node.log.committed
    net.propose(1, b"after")
    assert net.data(3) == [b"after"]
    assert node.raft.progress[3].state is ProgressState.REPLICATE


def test_a_failed_snapshot_is_sent_again() -> None:
    config = RaftConfig(member_id=1, catch_up_entries=1)
    net = Network(founded(1, (1, 2, 3), config=config), founded(2, (1, 2, 3)), founded(3, (1, 2, 3)))
    net.elect(1)
    net.isolate(3)
    for n in range(10):
        net.propose(1, b"%d" % n)
    node = net.nodes[1]
    node.compact(SnapshotMeta(node.log.applied, node.raft.term, Configuration(frozenset((1, 2, 3)))))
    net.drop = lambda m: m.kind is Kind.SNAPSHOT
    net.tick(3)
    assert net.count(Kind.SNAPSHOT) == 1
    node.report_snapshot(3, arrived=False)
    net.heal()
    net.tick(3)
    assert net.count(Kind.SNAPSHOT) == 2
    assert net.nodes[3].log.committed == node.log.committed


def test_commit_waits_for_the_append_to_be_durable_on_the_follower() -> None:
    node = founded(2, (1, 2, 3))
    append = Message(Kind.APPEND, 2, 1, term=2, log_term=1, index=1, entries=(Entry(2, 2, b"a"),), commit=2)
    node.step(append)
    ready = node.ready()
    assert ready is not None
    assert ready.must_sync
    assert not ready.committed, "not durable here yet"
    assert [m.kind for m in ready.messages_after_persist] == [Kind.APPEND_RESPONSE]
    assert not ready.messages
    node.advance(ready)
    ready = node.ready()
    assert ready is not None
    assert [e.data for e in ready.committed] == [b"a"]
