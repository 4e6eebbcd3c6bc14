"""The whole store in bad weather, from the disk up to its clients. Seeds and replay as in `test_cluster`."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.sim.stack import Stack
from tests.sim.storms import Storm
from tests.sim.test_cluster import ONLY, SEEDS

BATCHES = 10
#: A run of the whole store takes five times as long as one of the replicas alone.
SHARE = 3


@pytest.mark.parametrize("batch", range(BATCHES))
@pytest.mark.timeout(0)
def test_what_clients_saw_is_right_in_any_weather(batch: int) -> None:
    for seed in [int(ONLY)] if ONLY and not batch else range(SHARE * batch, 0 if ONLY else SEEDS, SHARE * BATCHES):
        Storm(seed).run()


@pytest.mark.timeout(0)
def test_a_seed_replays_exactly_in_another_process() -> None:
    """Whatever the order of Python's sets there."""
    told = [
        subprocess.run(
            [sys.executable, "-m", "tests.sim.storms", "9"],
            env={**os.environ, "PYTHONHASHSEED": hashes},
            capture_output=True,
            text=True,
            check=True,
            timeout=600,
        ).stdout
        for hashes in ("1", "2")
    ]
    assert told[0] == told[1]
    assert "calm" in told[0]


def test_the_weather_is_bad_and_clients_get_work_done() -> None:
    """A simulation in which nothing happens proves nothing."""
    stacks: list[Stack] = [Storm(seed).run() for seed in range(1001, 1010)]
    trace = [line for stack in stacks for line in stack.trace]
    for stroke in ("loses its power", "is killed", "is cut off", "stands still", "clock jumps", "stops: cannot write"):
        assert any(stroke in line for line in trace), stroke
    assert sum(o.response is not None for stack in stacks for o in stack.operations) > 400
    assert sum(o.response is None for stack in stacks for o in stack.operations) > 20
    responses = [response for stack in stacks for watch in stack.watches for response in watch.responses]
    assert sum(len(response.events) for response in responses) > 300
    assert any(response.compact_revision for response in responses)
    assert any(not response.events and not response.created and not response.canceled for response in responses)
    assert sum(len(stack.leases_until) for stack in stacks) > 30
