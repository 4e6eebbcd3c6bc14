"""The FlowSchemas and levels of the start are kept as upstream documents it; how long refused clients should wait."""

from __future__ import annotations

import asyncio
import copy
from typing import Any

import pytest

from apiserver.bootstrap.flow_control import AUTOUPDATE, GROUP
from apiserver.flowcontrol.configuration import Configuration
from apiserver.flowcontrol.drops import Drops
from apiserver.flowcontrol.keeping import UPKEEP_SECONDS, Keeper
from apiserver.flowcontrol.upkeep import is_left_behind, put_right, revised, wanted_objects
from component_base.clock import ManualClock
from tests.unit.apiserver.memory_objects import MemoryObjects, info

JSON = dict[str, Any]
SCHEMAS = info("flowschemas", GROUP)
LEVELS = info("prioritylevelconfigurations", GROUP)


def stored(name: str, annotation: str | None = "true", generation: int = 1) -> tuple[JSON, JSON]:
    """As it is stored, and as it should be."""
    wanted = next(obj for _, obj in wanted_objects() if obj["metadata"]["name"] == name)
    present = copy.deepcopy(wanted)
    present["metadata"]["generation"] = generation
    present["metadata"]["annotations"] = {} if annotation is None else {AUTOUPDATE: annotation}
    return present, wanted


def test_what_is_right_is_left_alone() -> None:
    assert revised(*stored("global-default")) is None


@pytest.mark.parametrize(
    ("annotation", "generation", "is_reset", "says"),
    [
        ("true", 2, True, "true"),
        ("1", 2, True, "1"),
        ("false", 2, False, "false"),
        (None, 1, True, "true"),
        (None, 2, False, "false"),
        ("perhaps", 2, False, "false"),
    ],
)
def test_a_suggested_spec_is_reset_unless_its_owner_keeps_it(
    annotation: str | None, generation: int, is_reset: bool, says: str
) -> None:
    present, wanted = stored("workload-low", annotation, generation)
    present["spec"]["limited"]["nominalConcurrencyShares"] = 7
    after = revised(present, wanted) or present
    assert after["spec"] == (wanted if is_reset else present)["spec"]
    assert after["metadata"]["annotations"][AUTOUPDATE] == says


def test_a_mandatory_spec_is_reset_whatever_its_annotation_says() -> None:
    present, wanted = stored("catch-all", "false", 9)
    present["spec"] = {**present["spec"], "type": "Exempt"}
    after = revised(present, wanted)
    assert after is not None
    assert (after["spec"], after["metadata"]["annotations"][AUTOUPDATE]) == (wanted["spec"], "true")


def test_the_exempt_levels_shares_are_the_administrators() -> None:
    present, wanted = stored("exempt", "true", 2)
    assert wanted["spec"]["type"] == "Exempt"
    present["spec"]["exempt"] = {"nominalConcurrencyShares": 50, "lendablePercent": 10}
    assert revised(present, wanted) is None


def test_only_what_another_version_made_is_left_behind() -> None:
    old, _ = stored("service-accounts")
    assert not is_left_behind(old, {"service-accounts"})
    assert is_left_behind(old, {"exempt"})
    own, _ = stored("service-accounts", None)
    assert not is_left_behind(own, {"exempt"})


async def test_a_deleted_suggestion_comes_back_within_a_minute() -> None:
    clock = ManualClock()
    objects = MemoryObjects(clock)
    await put_right(objects)
    writes = objects.writes
    await put_right(objects)
    assert objects.writes == writes
    keeper = Keeper(objects, Configuration(objects, 100, clock.monotonic), clock)
    await objects.delete(SCHEMAS, "", "service-accounts")
    leftover: JSON = {"metadata": {"annotations": {AUTOUPDATE: "true"}}, "spec": {"type": "Exempt"}}
    objects.put("prioritylevelconfigurations", "of-old", group=GROUP, **leftover)
    upkeep = asyncio.ensure_future(keeper.upkeep())
    for _ in range(3):
        await asyncio.sleep(0)
    clock.advance(UPKEEP_SECONDS)
    for _ in range(100):
        await asyncio.sleep(0)
    assert objects.get(SCHEMAS, "", "service-accounts") is not None
    assert objects.get(LEVELS, "", "of-old") is None
    upkeep.cancel()


def test_who_is_refused_waits_longer_while_many_are_and_shorter_again_after() -> None:
    drops = Drops()
    waits = []
    for second in range(1000, 1080):
        for _ in range(200):
            drops.add(float(second))
        waits.append(drops.retry_after)
    assert sorted(set(waits)) == [1, 2, 4, 8, 16, 32]
    assert waits == sorted(waits)
    for second in range(2000, 2100, 40):  # now one refusal in forty seconds
        drops.add(float(second))
    assert drops.retry_after < 32
    before = drops.retry_after
    drops.add(2200.5)
    assert drops.retry_after == before - 1


def test_a_few_refusals_change_nothing() -> None:
    drops = Drops()
    for second in range(50):
        drops.add(float(second))
    assert drops.retry_after == 1
