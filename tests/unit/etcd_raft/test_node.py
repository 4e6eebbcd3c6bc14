"""The member in its event loop: answers, group commit, refusals in etcd's words, membership, snapshots."""

from __future__ import annotations

import asyncio
from copy import deepcopy
from functools import partial

import pytest

from etcd_raft.logdisk import DiskPace, StoppedError
from etcd_raft.ports import Refusal
from etcd_raft.snapshotting import SnapshotPolicy
from tests.unit.etcd_raft.members import Crew


async def test_a_lone_member_answers_with_one_sync_for_a_put() -> None:
    async with Crew(1) as crew:
        node = crew.leader
        before = crew.metrics[1].syncs
        assert await node.propose(b"a") == 1
        assert crew.metrics[1].syncs == before + 1
        await node.read_index()
        assert crew.metrics[1].syncs == before + 1


async def test_what_waits_together_is_synced_together() -> None:
    async with Crew(1) as crew:
        node, before = crew.leader, crew.metrics[1].syncs
        answers = await asyncio.gather(*(node.propose(b"%d" % n) for n in range(500)))
        assert sorted(map(int, map(str, answers))) == list(range(1, 501))
        assert crew.metrics[1].syncs - before <= 3


async def test_a_quick_disk_is_waited_for_and_a_slow_one_is_not() -> None:
    pace = DiskPace()

    def after(syncs: int, seconds: float) -> bool:
        for _ in range(syncs):
            pace.took(seconds)
        return pace.is_quick

    assert not after(0, 0.0), "nothing is known of the disk yet"
    assert after(20, 0.0002)
    assert not after(1, 0.2)
    assert after(60, 0.0002)


async def test_what_others_forward_shares_one_append() -> None:
    async with Crew(3) as crew:
        leader, followers = crew.leader, [node for node in crew.wires.nodes.values() if not node.is_leader]
        before = crew.metrics[leader.member_id].syncs
        asking = [asyncio.ensure_future(node.propose(b"%d" % n)) for n in range(20) for node in followers]
        await crew.pass_time(0.5)
        await asyncio.gather(*asking)
        assert crew.metrics[leader.member_id].syncs - before <= 4


async def test_an_idle_member_leaves_the_disk_alone() -> None:
    async with Crew(1) as crew:
        before = crew.disks[1].syncs
        await crew.pass_time(5.0)
        assert crew.disks[1].syncs == before


async def test_any_member_may_propose_and_read() -> None:
    async with Crew(3) as crew:
        follower = crew.follower()
        proposal = asyncio.ensure_future(follower.propose(b"x"))
        await crew.pass_time(0.5)
        assert await proposal == 1
        read = asyncio.ensure_future(follower.read_index())
        await crew.pass_time(0.3)
        await read
        assert crew.machines[follower.member_id].lines == [b"x"]


async def test_reads_do_not_wait_for_writes_of_others() -> None:
    async with Crew(1) as crew:
        node = crew.leader
        writing = [asyncio.ensure_future(node.propose(bytes(100))) for _ in range(50)]
        await asyncio.sleep(0)
        await node.read_index()
        await asyncio.gather(*writing)


async def test_without_a_majority_requests_time_out_in_etcds_words() -> None:
    async with Crew(3) as crew:
        leader = crew.leader
        crew.wires.cut = {m for m in (1, 2, 3) if m != leader.member_id}
        put = asyncio.ensure_future(leader.propose(b"x"))
        read = asyncio.ensure_future(leader.read_index())
        await crew.pass_time(8.0)
        for waiting in (put, read):
            with pytest.raises(Refusal, match=r"^etcdserver: request timed out") as caught:
                await waiting
            assert caught.value.code == 14
        assert leader.leader_id == 0
        assert not leader.is_leader


async def test_too_large_a_request_is_refused() -> None:
    async with Crew(1) as crew:
        with pytest.raises(Refusal, match="etcdserver: request is too large"):
            await crew.leader.propose(bytes(2 << 20))


async def test_a_restarted_member_applies_its_log_again() -> None:
    async with Crew(1) as crew:
        for n in range(30):
            await crew.leader.propose(b"%d" % n)
        await crew.stop(1)
        node = crew.start(1)
        await crew.settle()
        await node.read_index()
        assert crew.machines[1].lines == [b"%d" % n for n in range(30)]
        assert await node.propose(b"more") == 31


async def test_names_and_client_urls_are_published_once() -> None:
    async with Crew(3) as crew:
        await crew.pass_time(2.0)
        assert [(m.name, m.client_urls) for m in crew.leader.members()] == [
            (f"m{n}", (f"http://m{n}:2",)) for n in (1, 2, 3)
        ]
        index = crew.leader.raft_index
        await crew.pass_time(10.0)
        assert crew.leader.raft_index == index


async def test_snapshots_are_written_and_old_entries_go() -> None:
    async with Crew(1, SnapshotPolicy(entries=20)) as crew:
        for n in range(200):
            await crew.leader.propose(b"%d" % n)
            if n % 10 == 0:
                await crew.pass_time(0.2)
        await crew.pass_time(0.5)
        assert crew.leader.status().snapshot_index > 100
        await crew.stop(1)
        node = crew.start(1)
        await crew.settle()
        await node.read_index()
        assert crew.machines[1].lines == [b"%d" % n for n in range(200)]


def _note(heard: list[tuple[int, bool, int]], member: int, leads: bool, term: int) -> None:
    heard.append((member, leads, term))


async def test_leadership_is_announced_with_everything_applied() -> None:
    async with Crew(3) as crew:
        heard: list[tuple[int, bool, int]] = []
        for node in crew.wires.nodes.values():
            node.on_leadership(partial(_note, heard, node.member_id))
        old = crew.leader
        await crew.stop(old.member_id)
        await crew.pass_time(4.0)
        new = crew.leader
        assert heard[-1] == (new.member_id, True, new.term)


async def test_a_member_is_added_as_learner_promoted_and_removed() -> None:
    async with Crew(1) as crew:
        leader = crew.leader
        for n in range(20):
            await leader.propose(b"%d" % n)
        added = asyncio.ensure_future(leader.add_member(["http://m9:1"], is_learner=True))
        await crew.pass_time(0.3)
        learner = await added
        with pytest.raises(Refusal, match="in sync with leader"):
            await leader.promote_member(learner.id)
        with pytest.raises(Refusal, match="Peer URLs already exists"):
            await leader.add_member(["http://m9:1"], is_learner=False)
        crew.founders = []
        node = crew.start(learner.id, join=True)
        await crew.pass_time(2.0)
        assert node.is_learner
        assert crew.machines[learner.id].lines == crew.machines[1].lines
        promoted = asyncio.ensure_future(node.promote_member(learner.id))
        await crew.pass_time(1.0)
        await promoted
        assert node.member_id in {m.id for m in leader.members() if not m.is_learner}
        removed = asyncio.ensure_future(leader.remove_member(learner.id))
        await crew.pass_time(1.0)
        await removed
        assert [m.id for m in leader.members()] == [1]
        with pytest.raises(Refusal, match="member not found") as caught:
            await leader.remove_member(learner.id)
        assert caught.value.code == 5


async def test_a_member_on_an_old_copy_of_its_folder_stops_with_a_sentence() -> None:
    """Its leader knows how far it had come, and would never send again what is missing."""
    async with Crew(3) as crew:
        old = crew.follower().member_id
        await crew.stop(old)
        copy = deepcopy(crew.disks[old])
        crew.start(old)
        await crew.pass_time(0.5)
        for _ in range(5):
            asking = asyncio.ensure_future(crew.leader.propose(b"more"))
            await crew.pass_time(0.3)
            await asking
        await crew.stop(old)
        crew.disks[old] = copy
        node = crew.start(old)
        await crew.pass_time(1.0)
        with pytest.raises(StoppedError, match="an old copy of the data directory was put back") as caught:
            await crew.tasks[old]
        assert "member remove" in str(caught.value)
        assert node.status().has_failed
        with pytest.raises(Refusal, match="lost a part of its log"):
            await node.propose(b"x")


async def test_a_removed_member_stops_with_a_sentence() -> None:
    async with Crew(3) as crew:
        await crew.pass_time(2.0)
        leader = crew.leader
        task = crew.tasks[leader.member_id]
        gone = asyncio.ensure_future(leader.remove_member(leader.member_id))
        await crew.pass_time(1.0)
        await gone
        with pytest.raises(StoppedError, match="has been removed"):
            await task
        crew.wires.nodes.pop(leader.member_id)
        await crew.pass_time(3.0)
        assert len(crew.leader.members()) == 2


async def test_removing_a_started_member_must_leave_a_majority() -> None:
    async with Crew(1) as crew:
        await crew.pass_time(1.0)
        with pytest.raises(Refusal, match="not enough started members"):
            await crew.leader.remove_member(1)


async def test_a_disk_that_fails_stops_the_member() -> None:
    async with Crew(1) as crew:
        node, task = crew.leader, crew.tasks[1]

        def fail(kind: str) -> None:
            raise OSError(5, "input/output error")

        crew.disks[1].before = fail
        with pytest.raises(Refusal, match="write-ahead log failed"):
            await node.propose(b"x")
        with pytest.raises(StoppedError, match="cannot write the log"):
            await task
        assert node.status().has_failed
        with pytest.raises(Refusal):
            await node.propose(b"y")


async def test_the_lead_is_handed_over_before_a_planned_stop() -> None:
    async with Crew(3) as crew:
        old = crew.leader
        handing = asyncio.ensure_future(old.hand_over())
        await crew.pass_time(0.5)
        await handing
        assert crew.leader is not old
        with pytest.raises(Refusal, match="not leader"):
            await old.transfer_leader(old.member_id)


async def test_a_member_that_joined_while_we_were_away_is_answered() -> None:
    """Found by simulation: it led, and the members that had been away could not tell it where their logs ended."""
    async with Crew(3) as crew:
        node = crew.follower()
        node.meet(99, ("http://m99:1",))
        assert [m.id for m in node._transport.peers if m.peer_urls == ("http://m99:1",)] == [99]  # type: ignore[attr-defined]
        node.meet(node.leader_id, ("http://elsewhere:1",))
        assert all(m.peer_urls != ("http://elsewhere:1",) for m in node._transport.peers)  # type: ignore[attr-defined]


class Asker:
    """A `Waiter` that writes down what it is told."""

    def __init__(self) -> None:
        self.has_left = False
        self.told: list[object] = []

    def cancelled(self) -> bool:
        return self.has_left

    def applied(self, result: object) -> None:
        self.told.append(result)

    def failed(self, refusal: Refusal) -> None:
        self.told.append(refusal.message)


async def test_a_proposal_without_a_task_is_told_once() -> None:
    async with Crew(1) as crew:
        asker, gone = Asker(), Asker()
        gone.has_left = True
        crew.leader.begin(b"dropped", gone)
        crew.leader.begin(b"kept", asker)
        await crew.leader.propose(b"behind them")
        assert asker.told == [1], "what nobody waits for any more was not proposed"
        assert gone.told == []
        assert crew.leader.status().pending_proposals == 0


async def test_a_proposal_without_a_task_times_out() -> None:
    async with Crew(3) as crew:
        node = crew.leader
        for other in [member for member in crew.wires.nodes if member != node.member_id]:
            await crew.stop(other)
        asker, gone = Asker(), Asker()
        node.begin(b"never", asker)
        node.begin(b"never", gone)
        gone.has_left = True
        await crew.pass_time(20.0)
        assert asker.told == ["etcdserver: request timed out"]
        assert gone.told == []
        assert node.status().pending_proposals == 0
        with pytest.raises(Refusal, match="too large"):
            node.begin(bytes(2_000_000), asker)
