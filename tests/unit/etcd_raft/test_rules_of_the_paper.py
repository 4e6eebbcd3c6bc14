"""Figure 2 of the Raft paper, rule by rule, and what chapters 3, 4 and 6 of the thesis add; named by their places."""

from __future__ import annotations

from etcd_raft.raft import Change, ChangeKind, Entry, HardState, Kind, Message, Role
from tests.unit.etcd_raft.network import Network, founded, trio


def answer(net: Network, kind: Kind) -> Message:
    return next(message for message in reversed(net.sent) if message.kind is kind)


def append(term: int, index: int, log_term: int, *entries: Entry, commit: int = 0) -> Message:
    return Message(Kind.APPEND, 1, 2, term, log_term, index, entries, commit)


def test_figure_2_append_entries_1_an_older_term_is_refused() -> None:
    node = founded(1, (1, 2, 3), hard_state=HardState(term=5, vote=0, commit=1))
    net = Network(node)
    node.step(append(4, 1, 1, Entry(2, 4, b"x")))
    net.settle()
    assert node.log.last_index == 1
    assert answer(net, Kind.APPEND_RESPONSE).term == 5


def test_figure_2_append_entries_2_what_does_not_fit_behind_the_previous_entry_is_refused() -> None:
    node = founded(1, (1, 2, 3))
    net = Network(node)
    node.step(append(2, 7, 2, Entry(8, 2, b"x")))
    net.settle()
    assert answer(net, Kind.APPEND_RESPONSE).reject
    assert node.log.last_index == 1


def test_figure_2_append_entries_3_and_4_a_conflicting_entry_goes_with_all_behind_it() -> None:
    node = founded(1, (1, 2, 3), [Entry(2, 1, b"a"), Entry(3, 1, b"b"), Entry(4, 1, b"c")])
    net = Network(node)
    node.step(append(2, 2, 1, Entry(3, 2, b"B")))
    net.settle()
    assert [(e.index, e.term, e.data) for e in node.log.slice(2, node.log.last_index + 1, 1 << 20)] == [
        (2, 1, b"a"),
        (3, 2, b"B"),
    ]


def test_figure_2_append_entries_4_entries_that_are_there_already_do_not_cut_the_log() -> None:
    node = founded(1, (1, 2, 3), [Entry(2, 1, b"a"), Entry(3, 1, b"b")])
    net = Network(node)
    node.step(append(1, 1, 1, Entry(2, 1, b"a")))
    net.settle()
    assert node.log.last_index == 3


def test_figure_2_append_entries_5_commits_no_further_than_the_last_new_entry() -> None:
    node = founded(1, (1, 2, 3), [Entry(2, 1, b"a"), Entry(3, 1, b"unsure")])
    net = Network(node)
    node.step(append(2, 1, 1, Entry(2, 1, b"a"), commit=3))
    net.settle()
    assert node.log.committed == 2


def test_figure_2_request_vote_1_an_older_term_gets_no_vote() -> None:
    node = founded(1, (1, 2, 3), hard_state=HardState(term=5, vote=0, commit=1))
    net = Network(node)
    node.step(Message(Kind.VOTE, 1, 2, term=4, log_term=4, index=9))
    net.settle()
    assert node.raft.vote == 0
    assert not any(m.kind is Kind.VOTE_RESPONSE and not m.reject for m in net.sent)


def test_figure_2_all_servers_a_higher_term_makes_a_follower() -> None:
    net = trio()
    net.elect(1)
    net.nodes[1].step(Message(Kind.APPEND_RESPONSE, 1, 2, term=99))
    net.settle()
    assert net.nodes[1].raft.role is Role.FOLLOWER
    assert net.nodes[1].raft.term == 99


def test_figure_2_candidates_an_append_of_their_term_ends_the_candidacy() -> None:
    net = trio()
    net.isolate(1)
    net.nodes[1].campaign()
    net.settle()
    node = net.nodes[1]
    assert node.raft.role in (Role.CANDIDATE, Role.PRE_CANDIDATE)
    node.step(Message(Kind.HEARTBEAT, 1, 2, node.raft.term))
    assert (node.raft.role, node.raft.leader) == (Role.FOLLOWER, 2)


def test_figure_2_leaders_a_new_one_speaks_at_once() -> None:
    net = trio()
    net.elect(1)
    assert {m.to for m in net.sent if m.kind is Kind.APPEND and m.sender == 1} == {2, 3}


def test_thesis_3_5_the_leader_only_appends_to_its_log() -> None:
    net = trio()
    net.elect(1)
    net.propose(1, b"a")
    before = net.nodes[1].log.slice(2, net.nodes[1].log.last_index + 1, 1 << 20)
    net.propose(1, b"b")
    assert net.nodes[1].log.slice(2, net.nodes[1].log.last_index + 1, 1 << 20)[: len(before)] == before


def test_thesis_3_6_2_a_new_leader_commits_an_entry_of_its_own_term_first() -> None:
    net = trio()
    net.elect(1)
    log = net.nodes[1].log
    assert log.term(log.committed) == net.nodes[1].raft.term


def test_thesis_3_10_whoever_is_handed_the_lead_asks_for_votes_without_a_wait() -> None:
    net = trio()
    net.elect(1)
    term = net.nodes[1].raft.term
    net.nodes[1].transfer_leader(2)
    net.settle()
    assert net.leader() == 2
    assert net.nodes[2].raft.term == term + 1


def test_thesis_4_1_a_change_counts_from_when_it_is_applied_and_one_at_a_time() -> None:
    net = trio()
    net.elect(1)
    assert net.nodes[1].propose_change(Change(ChangeKind.ADD_VOTER, 4))
    assert 4 not in net.nodes[1].raft.configuration.voters
    net.nodes[1].propose_change(Change(ChangeKind.ADD_VOTER, 5))
    net.settle()
    assert net.nodes[1].raft.configuration.voters == {1, 2, 3, 4}


def test_thesis_6_4_a_read_needs_a_round_of_heartbeats_that_began_after_it() -> None:
    net = trio()
    net.elect(1)
    net.isolate(2, 3)
    net.nodes[1].read_index(b"r")
    net.settle()
    assert not net.reads[1]
    net.heal()
    net.nodes[1].read_index(b"s")
    net.settle()
    assert {state.context for state in net.reads[1]} >= {b"s"}
