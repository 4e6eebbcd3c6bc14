"""Clusters under bad weather. One seed is one run; `SIM_SEED=n` replays it, `SIM_SEEDS=n` sets how many are run.

A run that fails prints its seed and the last things that happened.
"""

from __future__ import annotations

import os

import pytest

from component_base.rng import Rng
from etcd_raft.raft import ChangeKind, Role
from tests.sim.world import Weather, World

SEEDS = int(os.environ.get("SIM_SEEDS") or 300)
ONLY = os.environ.get("SIM_SEED") or ""
BATCHES = 10
STORM_SECONDS = 12.0


def seeds(batch: int, base: int) -> list[int]:
    if ONLY:
        return [int(ONLY)] if batch == 0 else []
    return [base + n for n in range(SEEDS) if n % BATCHES == batch]


def calm(world: World) -> None:
    """All is mended: everybody who is a member runs, and the network is good."""
    world.weather = Weather()
    world.blocked.clear()
    for machine in world.machines.values():
        machine.pace = 1.0
        if machine.replica is None and not machine.is_gone:
            world.boot(machine.member, joins=machine.member > len(world.founders))


def settle(world: World) -> None:
    """Within reach of a few elections, a write must go through and everybody must agree."""
    world.note("calm")
    calm(world)
    world.run(10.0)
    leader = world.leader()
    assert leader is not None, "no leader although all is well"
    before = len(world.invariants.promised)
    for _ in range(3):
        world.propose(leader.member_id)
        world.run(1.0)
    assert len(world.invariants.promised) > before, "no write goes through although all is well"
    members = {m.id for m in leader.roster.members()}
    lines = {m: c.replica.state_machine.lines for m, c in world.machines.items() if c.replica and m in members}  # type: ignore[attr-defined]
    world.invariants.check_agreement(lines)


def strike(world: World, rng: Rng) -> None:
    """One thing goes wrong, or is mended."""
    members = list(world.machines)
    match rng.randrange(7):
        case 0 | 1:
            world.crash(rng.choice(members))
        case 2:
            for machine in world.machines.values():
                if machine.replica is None and not machine.is_gone:
                    world.boot(machine.member, joins=machine.member > len(world.founders))
        case 3 | 6:
            leader = world.leader()
            lonely = leader.member_id if leader is not None and rng.random() < 0.6 else rng.choice(members)
            world.machines[lonely].pace = rng.choice([1.0, 4.0])
            both_ways = rng.random() < 0.7
            world.blocked |= {(lonely, m) for m in members}
            if both_ways:
                world.blocked |= {(m, lonely) for m in members}
            world.note(f"m{lonely} is cut off")
        case 4:
            world.blocked.clear()
            world.note("the network heals")
        case 5:
            leader = world.leader()
            if leader is not None:
                leader.raw.transfer_leader(rng.choice(members))


def reconfigure(world: World, rng: Rng) -> None:
    leader = world.leader()
    if leader is None:
        return
    roster = leader.roster
    newcomers = [m for m in world.machines if m > len(world.founders) and not world.machines[m].is_gone]
    match rng.randrange(3):
        case 0 if len(world.machines) < len(world.founders) + 3:
            member = max(world.machines) + 1
            world.add_machine(member)
            kind = ChangeKind.ADD_LEARNER if rng.random() < 0.7 else ChangeKind.ADD_VOTER
            world.change(leader.member_id, kind, member)
        case 1:
            learners = [m.id for m in roster.members() if m.is_learner]
            if learners:
                world.change(leader.member_id, ChangeKind.ADD_VOTER, rng.choice(learners))
        case _:
            if len(leader.raw.raft.configuration.voters) > 3 and newcomers:
                world.change(leader.member_id, ChangeKind.REMOVE, rng.choice(newcomers))


def storm(seed: int, changes_members: bool) -> World:
    world = World(seed, size=5 if seed % 4 == 1 else 3)
    rng = world.rng
    try:
        world.run(2.5)
        until = world.now + STORM_SECONDS
        while world.now < until:
            world.run(0.6 * rng.random())
            for _ in range(rng.randrange(12)):
                world.propose(rng.choice(list(world.machines)))
            for member, machine in list(world.machines.items()):
                believes = machine.replica is not None and machine.replica.role is Role.LEADER
                if believes or rng.random() < 0.2:
                    world.read(member)
            if rng.random() < 0.25:
                strike(world, rng)
            if changes_members and rng.random() < 0.15:
                reconfigure(world, rng)
        settle(world)
    except BaseException:
        print(f"seed {seed}, {world.weather}")
        print("\n".join(world.trace[-60:]))
        raise
    return world


@pytest.mark.parametrize("batch", range(BATCHES))
@pytest.mark.timeout(0)
def test_promises_hold_in_any_weather(batch: int) -> None:
    for seed in seeds(batch, base=1):
        storm(seed, changes_members=seed % 3 == 0)


def test_a_seed_replays_exactly() -> None:
    first, second = storm(7, changes_members=True), storm(7, changes_members=True)
    assert first.trace == second.trace
    assert first.invariants.promised == second.invariants.promised


def test_the_weather_is_bad_and_work_is_done() -> None:
    """A simulation in which nothing happens proves nothing."""
    worlds = [storm(seed, changes_members=False) for seed in range(1000, 1010)]
    assert sum(len(w.invariants.promised) for w in worlds) > 300
    assert sum(w.invariants.reads_answered for w in worlds) > 30
    assert sum("crashes" in line for w in worlds for line in w.trace) > 10
