"""ReadIndex (thesis 6.4): a read is released only once a majority has confirmed the leader after the read arrived."""

from __future__ import annotations

from etcd_raft.raft import Kind
from tests.unit.etcd_raft.network import Network, founded, trio


def test_a_lone_leader_confirms_its_reads_at_once() -> None:
    net = Network(founded(1, (1,)))
    net.elect(1)
    assert net.nodes[1].read_index(b"r")
    net.settle()
    assert [(r.index, r.context) for r in net.reads[1]] == [(net.nodes[1].log.committed, b"r")]


def test_reads_at_the_leader_and_at_a_follower() -> None:
    net = trio()
    net.elect(1)
    net.propose(1, b"x")
    for member in (1, 2):
        assert net.nodes[member].read_index(b"r%d" % member)
        net.settle()
        assert [r.index for r in net.reads[member]] == [net.nodes[1].log.committed]


def test_a_leader_cut_off_confirms_no_read() -> None:
    net = trio()
    net.elect(1)
    net.isolate(1)
    net.nodes[1].read_index(b"r")
    net.settle()
    assert net.reads[1] == []


def test_a_read_waits_for_the_terms_first_commit() -> None:
    net = trio()
    net.drop = lambda m: m.kind is Kind.APPEND
    net.nodes[1].campaign()
    net.settle()
    net.nodes[1].read_index(b"r")
    net.settle()
    assert net.reads[1] == []
    net.heal()
    net.tick(3)
    assert [r.index for r in net.reads[1]] == [net.nodes[1].log.committed]


def test_no_leader_no_read() -> None:
    assert not trio().nodes[1].read_index(b"r")


def test_one_confirmation_releases_all_older_reads() -> None:
    net = trio()
    net.elect(1)
    net.drop = lambda m: m.kind is Kind.HEARTBEAT
    for n in range(3):
        net.nodes[1].read_index(b"r%d" % n)
    net.settle()
    assert net.reads[1] == []
    net.heal()
    net.tick(1)
    assert [r.context for r in net.reads[1]] == [b"r0", b"r1", b"r2"]
