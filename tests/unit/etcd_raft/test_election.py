"""Elections by the thesis: who may be elected, who may vote twice (nobody), what PreVote and CheckQuorum prevent."""

from __future__ import annotations

import pytest

from etcd_raft.raft import Entry, HardState, Kind, Message, RaftConfig, Role
from etcd_raft.raft.quorum import VoteResult, committed_index, joint_committed_index, joint_vote_result, vote_result
from tests.unit.etcd_raft.network import Network, founded, trio


def test_a_lone_member_elects_itself_and_commits() -> None:
    net = Network(founded(1, (1,)))
    net.elect(1)
    assert net.propose(1, b"x")
    assert net.data(1) == [b"x"]


def test_three_members_elect_one_leader_by_timeout() -> None:
    net = trio()
    net.tick(25)
    leader = net.leader()
    assert leader
    assert {n.raft.leader for n in net.nodes.values()} == {leader}
    assert len({n.raft.term for n in net.nodes.values()}) == 1


def test_a_vote_is_given_once_a_term() -> None:
    node = founded(1, (1, 2, 3))
    net = Network(node)
    for sender in (2, 3):
        node.step(Message(Kind.VOTE, 1, sender, term=5, log_term=1, index=1))
    net.settle()
    answers = {m.to: m.reject for m in net.sent if m.kind is Kind.VOTE_RESPONSE}
    assert answers == {2: False, 3: True}
    assert node.raft.vote == 2


def test_a_vote_survives_a_restart() -> None:
    node = founded(1, (1, 2, 3), hard_state=HardState(term=5, vote=2, commit=1))
    net = Network(node)
    node.step(Message(Kind.VOTE, 1, 3, term=5, log_term=1, index=1))
    net.settle()
    assert [m.reject for m in net.sent] == [True]


def test_the_vote_is_answered_only_after_it_is_durable() -> None:
    node = founded(1, (1, 2, 3))
    node.step(Message(Kind.VOTE, 1, 2, term=5, log_term=1, index=1))
    ready = node.ready()
    assert ready is not None
    assert ready.must_sync
    assert ready.hard_state == HardState(5, 2, 1)
    assert not ready.messages
    assert [m.kind for m in ready.messages_after_persist] == [Kind.VOTE_RESPONSE]


@pytest.mark.parametrize(
    ("log_term", "index", "granted"),
    [(2, 3, True), (2, 4, True), (3, 2, True), (2, 2, False), (1, 9, False)],
)
def test_only_a_log_at_least_as_long_and_new_gets_the_vote(log_term: int, index: int, granted: bool) -> None:
    node = founded(1, (1, 2, 3), entries=(Entry(2, 2, b"a"), Entry(3, 2, b"b")), hard_state=HardState(2, 0, 1))
    net = Network(node)
    node.step(Message(Kind.VOTE, 1, 2, term=7, log_term=log_term, index=index))
    net.settle()
    assert [m.reject for m in net.sent] == [not granted]


def test_a_member_cut_off_and_back_does_not_depose_the_leader() -> None:
    net = trio()
    net.elect(1)
    net.isolate(3)
    net.tick(60)
    term = net.nodes[1].raft.term
    assert net.nodes[3].raft.term == term, "pre-votes enter no term"
    net.heal()
    net.tick(30)
    assert (net.leader(), net.nodes[1].raft.term) == (1, term)
    assert net.nodes[3].raft.leader == 1


def test_without_pre_vote_the_returning_member_is_ignored_while_the_leader_lives() -> None:
    configs = {m: RaftConfig(member_id=m, pre_vote=False) for m in (1, 2, 3)}
    net = Network(*(founded(m, (1, 2, 3), config=configs[m]) for m in (1, 2, 3)))
    net.elect(1)
    net.tick(2)
    before = net.nodes[2].raft.term
    net.nodes[2].step(Message(Kind.VOTE, 2, 3, term=before + 5, log_term=9, index=99))
    assert net.nodes[2].raft.term == before


def test_a_leader_without_a_majority_steps_down() -> None:
    net = trio()
    net.elect(1)
    net.isolate(1)
    net.tick(21, 1)
    assert net.nodes[1].raft.role is Role.FOLLOWER
    assert not net.propose(1, b"lost")


def test_the_majority_elects_anew_and_the_old_leader_follows() -> None:
    net = trio()
    net.elect(1)
    net.isolate(1)
    net.tick(45)
    new = net.leader()
    assert new in (2, 3)
    net.heal()
    net.tick(3)
    assert net.nodes[1].raft.leader == new


def test_a_higher_term_in_any_answer_deposes() -> None:
    net = trio()
    net.elect(1)
    net.nodes[1].step(Message(Kind.APPEND_RESPONSE, 1, 2, term=99))
    assert net.nodes[1].raft.role is Role.FOLLOWER
    assert net.nodes[1].raft.term == 99


def test_a_stale_leader_learns_of_the_new_term_from_the_answer() -> None:
    net = trio()
    net.elect(1)
    net.isolate(1)
    net.tick(45, 2, 3)
    net.heal()
    net.tick(1, 1)
    assert net.nodes[1].raft.role is Role.FOLLOWER


def test_a_learner_never_campaigns() -> None:
    net = Network(founded(1, (1, 2)), founded(2, (1, 2)), founded(4, (1, 2), learners=(4,)))
    net.tick(100, 4)
    assert net.nodes[4].raft.role is Role.FOLLOWER
    assert net.nodes[4].raft.term == 1


def test_leadership_moves_on_request() -> None:
    net = trio()
    net.elect(1)
    net.propose(1, b"a")
    net.nodes[1].transfer_leader(3)
    net.settle()
    assert net.leader() == 3
    assert net.propose(3, b"b")


def test_a_follower_passes_the_request_to_move_on() -> None:
    net = trio()
    net.elect(1)
    net.nodes[2].transfer_leader(2)
    net.settle()
    assert net.leader() == 2


def test_a_transfer_to_a_dead_member_ends_and_proposals_go_on() -> None:
    net = trio()
    net.elect(1)
    net.isolate(3)
    net.propose(1, b"a")
    net.nodes[1].transfer_leader(3)
    assert not net.propose(1, b"refused")
    net.tick(11)
    assert net.leader() == 1
    assert net.propose(1, b"b")
    assert net.data(2) == [b"a", b"b"]


@pytest.mark.parametrize(
    ("voters", "votes", "result"),
    [
        ((), {}, VoteResult.WON),
        ((1, 2, 3), {1: True}, VoteResult.PENDING),
        ((1, 2, 3), {1: True, 2: True}, VoteResult.WON),
        ((1, 2, 3), {1: True, 2: False, 3: False}, VoteResult.LOST),
        ((1, 2, 3, 4), {1: True, 2: True, 3: False, 4: False}, VoteResult.LOST),
        ((1, 2), {1: True, 9: True}, VoteResult.PENDING),
    ],
)
def test_vote_arithmetic(voters: tuple[int, ...], votes: dict[int, bool], result: VoteResult) -> None:
    assert vote_result(voters, votes) is result


def test_joint_arithmetic() -> None:
    assert joint_vote_result((1, 2, 3), (3, 4, 5), {1: True, 2: True}) is VoteResult.PENDING
    assert joint_vote_result((1, 2, 3), (3, 4, 5), {1: True, 2: True, 4: False, 5: False}) is VoteResult.LOST
    assert joint_vote_result((1, 2, 3), (3, 4, 5), {1: True, 3: True, 4: True}) is VoteResult.WON
    assert committed_index((1, 2, 3), {1: 9, 2: 5, 3: 1}) == 5
    assert committed_index((1, 2, 3, 4), {1: 9, 2: 5, 3: 1}) == 1
    assert committed_index((), {}) is None
    assert joint_committed_index((1, 2, 3), (3, 4, 5), {1: 9, 2: 9, 3: 4, 4: 2}) == 2


def test_a_leader_whose_process_died_is_replaced_without_the_whole_wait() -> None:
    """Its connections break at once; a host that vanished is noticed by its silence only."""
    net = trio()
    net.elect(1)
    net.isolate(1)
    for member in (2, 3):
        net.nodes[member].report_unreachable(1)
        assert not net.propose(member, b"x"), "what went to it now would be lost"
    net.tick(7, 2, 3)
    assert net.leader() in (2, 3)


def test_a_broken_connection_to_a_leader_that_lives_deposes_nobody() -> None:
    net = trio()
    net.elect(1)
    term = net.nodes[1].raft.term
    net.nodes[2].report_unreachable(1)
    net.tick(6, 2)
    assert net.leader() == 1, "the pre-vote finds that the others hear it"
    net.tick(30)
    assert (net.leader(), net.nodes[1].raft.term) == (1, term)
    assert net.nodes[2].raft.leader == 1
    net.nodes[2].raft.lose_sight_of(3)
    assert net.nodes[2].raft.leader == 1
