"""Membership changes, one at a time (thesis 4.1)."""

from __future__ import annotations

import pytest

from etcd_raft.raft import Change, ChangeKind, Configuration, Role
from etcd_raft.raft.membership import MembershipError, changed
from tests.unit.etcd_raft.network import Network, founded, trio


def test_a_member_joins_as_learner_catches_up_and_votes() -> None:
    net = Network(founded(1, (1,)), founded(4, (1,)))
    net.elect(1)
    net.propose(1, b"a")
    assert net.change(1, Change(ChangeKind.ADD_LEARNER, 4))
    net.tick(3)
    assert net.data(4) == [b"a"]
    assert net.nodes[4].raft.role is Role.FOLLOWER
    assert net.change(1, Change(ChangeKind.ADD_VOTER, 4))
    assert net.nodes[1].raft.configuration.voters == {1, 4}
    net.isolate(4)
    net.propose(1, b"b")
    assert net.data(1) == [b"a"], "the new voter counts"


def test_learners_do_not_count_for_commits() -> None:
    net = Network(*(founded(m, (1, 2, 3), learners=(4,)) for m in (1, 2, 3, 4)))
    net.elect(1)
    net.isolate(2, 3)
    net.propose(1, b"a")
    assert net.data(1) == []


def test_only_one_change_at_a_time() -> None:
    net = trio()
    net.elect(1)
    net.isolate(2, 3)
    assert net.change(1, Change(ChangeKind.ADD_LEARNER, 4))
    assert not net.change(1, Change(ChangeKind.ADD_LEARNER, 5))
    net.heal()
    net.tick(2)
    assert net.change(1, Change(ChangeKind.ADD_LEARNER, 5))


def test_no_change_before_the_terms_first_commit() -> None:
    net = trio()
    net.isolate(3)
    net.nodes[1].campaign()
    net.settle()
    assert net.leader() == 1
    fresh = Network(*(founded(m, (1, 2, 3)) for m in (1, 2, 3)))
    fresh.drop = lambda m: bool(m.entries)
    fresh.nodes[1].campaign()
    fresh.settle()
    assert fresh.leader() == 1
    assert not fresh.change(1, Change(ChangeKind.REMOVE, 3))


def test_a_leader_that_removes_itself_steps_down_and_the_rest_goes_on() -> None:
    net = trio()
    net.elect(1)
    assert net.change(1, Change(ChangeKind.REMOVE, 1))
    assert net.nodes[1].raft.role is Role.FOLLOWER
    del net.nodes[1]
    net.tick(45)
    assert net.leader() in (2, 3)
    assert net.propose(net.leader(), b"x")


def test_removing_a_dead_member_frees_what_waited_for_it() -> None:
    net = Network(*(founded(m, (1, 2)) for m in (1, 2)))
    net.elect(1)
    net.propose(1, b"a")
    assert net.change(1, Change(ChangeKind.REMOVE, 2))
    del net.nodes[2]
    assert net.propose(1, b"b")
    assert net.data(1) == [b"a", b"b"]


def test_a_change_waits_durably_before_it_is_acted_upon() -> None:
    node = founded(1, (1,))
    net = Network(node)
    net.elect(1)
    node.propose_change(Change(ChangeKind.ADD_LEARNER, 4))
    ready = node.ready()
    assert ready is not None
    node.advance(ready)
    ready = node.ready()
    assert ready is not None
    assert ready.committed
    assert ready.must_sync
    assert ready.hard_state is not None
    assert ready.hard_state.commit == ready.committed[-1].index


def test_senseless_changes_are_refused() -> None:
    one = Configuration(frozenset({1}))
    for change in (
        Change(ChangeKind.REMOVE, 1),
        Change(ChangeKind.ADD_LEARNER, 1),
        Change(ChangeKind.ADD_VOTER, 0),
    ):
        with pytest.raises(MembershipError):
            changed(one, change)
    assert changed(one, Change(ChangeKind.REMOVE, 9)) == one
