"""Who the members are, which changes are refused and in which words; when a snapshot is worth its while."""

from __future__ import annotations

import pytest

from etcd_raft import changes
from etcd_raft.ports import Member, Refusal
from etcd_raft.raft import Change, ChangeKind
from etcd_raft.raft.membership import MembershipError
from etcd_raft.roster import MemberWords, Roster, cluster_id, encode_words, member_id
from etcd_raft.snapshotting import SnapshotPolicy


def member(number: int, name: str = "started", is_learner: bool = False) -> Member:
    return Member(number, name, (f"http://m{number}:1",), (), is_learner)


def change(kind: ChangeKind, number: int, *urls: str) -> Change:
    return Change(kind, number, encode_words(MemberWords(1, 1, "", urls)))


@pytest.fixture
def roster() -> Roster:
    return Roster({1: member(1), 2: member(2), 3: member(3, is_learner=True)}, removed=[9])


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        (change(ChangeKind.ADD_VOTER, 9, "http://new:1"), "etcdserver: member not found"),
        (change(ChangeKind.ADD_VOTER, 1, "http://new:1"), "etcdserver: member ID already exist"),
        (change(ChangeKind.ADD_VOTER, 4, "http://m2:1"), "etcdserver: Peer URLs already exists"),
        (change(ChangeKind.UPDATE, 1, "http://m2:1"), "etcdserver: Peer URLs already exists"),
        (change(ChangeKind.ADD_VOTER, 4), "etcdserver: member not found"),
        (change(ChangeKind.ADD_VOTER, 1), "etcdserver: can only promote a learner member"),
        (change(ChangeKind.ADD_LEARNER, 4, "http://new:1"), "etcdserver: too many learner members in cluster"),
        (change(ChangeKind.REMOVE, 4), "etcdserver: member not found"),
        (change(ChangeKind.UPDATE, 4, "http://new:1"), "etcdserver: member not found"),
    ],
)
def test_contradictions_are_refused_in_etcds_words(roster: Roster, wanted: Change, words: str) -> None:
    with pytest.raises(MembershipError, match=f"^{words}$"):
        roster.check(wanted)


@pytest.mark.parametrize(
    "wanted",
    [
        change(ChangeKind.ADD_VOTER, 4, "http://new:1"),
        change(ChangeKind.ADD_VOTER, 3),
        change(ChangeKind.REMOVE, 1),
        change(ChangeKind.UPDATE, 1, "http://m1:1", "http://m1:2"),
    ],
)
def test_sensible_changes_pass(roster: Roster, wanted: Change) -> None:
    roster.check(wanted)


def test_changes_keep_what_they_do_not_mention(roster: Roster) -> None:
    roster.apply(change(ChangeKind.ADD_VOTER, 3))
    assert roster.get(3) == member(3)
    roster.apply(Change(ChangeKind.UPDATE, 3, encode_words(MemberWords(0, 0, "named", (), ("http://c:1",)))))
    found = roster.get(3)
    assert found is not None
    assert (found.name, found.peer_urls, found.client_urls) == ("named", ("http://m3:1",), ("http://c:1",))
    roster.apply(change(ChangeKind.REMOVE, 3))
    roster.apply(change(ChangeKind.ADD_VOTER, 3, "http://m3:1"))
    assert roster.get(3) is None, "ids are never used twice"


def test_it_travels_in_snapshots(roster: Roster) -> None:
    copy = Roster.decode(roster.encode())
    assert copy.members() == roster.members()
    assert copy.removed == roster.removed


def test_ids_are_computed_not_drawn() -> None:
    urls = ("http://b:1", "http://a:1")
    assert member_id(urls, "t") == member_id(reversed_urls := tuple(reversed(urls)), "t")
    assert member_id(reversed_urls, "u") != member_id(urls, "t") != member_id(urls, "t", "later")
    assert cluster_id([1, 2], "t") == cluster_id([2, 1], "t")


def test_adding_and_removing_keep_a_majority_of_started_members() -> None:
    changes.check_add([member(1)], is_learner=False)
    changes.check_add([member(1), member(2, "")], is_learner=True)
    with pytest.raises(Refusal, match="not enough started members"):
        changes.check_add([member(1), member(2, "")], is_learner=False)
    changes.check_remove([member(1), member(2, "")], 2)
    changes.check_remove([member(1), member(2), member(3)], 3)
    with pytest.raises(Refusal, match="not enough started members"):
        changes.check_remove([member(1), member(2, "")], 1)


@pytest.mark.parametrize(
    ("entries", "log_bytes", "last_size", "due"),
    [
        (0, 0, 0, False),
        (9_999, 1 << 20, 0, False),
        (10_000, 1 << 20, 0, True),
        (10_000, 1 << 20, 1 << 30, False),
        (100_000, 1 << 20, 1 << 30, True),
        (500, 65 << 20, 1 << 20, True),
        (500, 65 << 20, 1 << 30, False),
    ],
)
def test_a_snapshot_is_due_when_it_frees_more_than_it_costs(
    entries: int, log_bytes: int, last_size: int, due: bool
) -> None:
    assert SnapshotPolicy().is_due(entries, log_bytes, last_size) is due
