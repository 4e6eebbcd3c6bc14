"""API priority and fairness: matching, fair queues on virtual time, lending. No clock, no loop."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apiserver.bootstrap.flow_control import flow_schemas, priority_levels
from apiserver.endpoints.exchange import Exchange
from apiserver.endpoints.path import parse
from apiserver.flowcontrol import allocation
from apiserver.flowcontrol.configuration import Configuration
from apiserver.flowcontrol.gate import Busy, Gate, InFlight
from apiserver.flowcontrol.keeping import with_condition
from apiserver.flowcontrol.queues import CONCURRENCY_LIMIT, QUEUE_FULL, Level, Refused, Shape, Ticket, hand_of
from apiserver.flowcontrol.schemas import Digest, compiled, in_order
from apiserver.ports import User
from component_base.clock import ManualClock
from tests.unit.apiserver.memory_objects import MemoryObjects

SHAPE = Shape(queues=8, hand=2, length=4)
SCHEMAS = in_order([compiled(obj) for obj in flow_schemas()])
AUTHENTICATED = ("system:authenticated",)


def schema_of(digest: Digest) -> str:
    return next(one.name for one in SCHEMAS if one.matches(digest))


@pytest.mark.parametrize(
    ("digest", "name"),
    [
        (Digest(User("admin", ("system:masters",)), "get", group="", resource="pods"), "exempt"),
        (Digest(User("x", AUTHENTICATED), "get", path="/healthz"), "probes"),
        (Digest(User("x", AUTHENTICATED), "get", path="/healthz/etcd"), "probes"),
        (Digest(User("x", AUTHENTICATED), "get", path="/healthzz"), "global-default"),
        (Digest(User("system:node:n", ("system:nodes",)), "update", "", "", "nodes", "status"), "system-node-high"),
        (Digest(User("system:node:n", ("system:nodes",)), "get", "", "", "pods", "", "a"), "system-nodes"),
        (
            Digest(
                User("system:kube-scheduler", AUTHENTICATED), "update", "", "coordination.k8s.io", "leases", "", "n"
            ),
            "system-leader-election",
        ),
        (Digest(User("system:kube-scheduler", AUTHENTICATED), "list", "", "", "pods"), "kube-scheduler"),
        (
            Digest(User("system:serviceaccount:kube-system:a", AUTHENTICATED), "list", "", "", "pods"),
            "kube-system-service-accounts",
        ),
        (Digest(User("system:serviceaccount:kube-systemx:a", AUTHENTICATED), "list", "", "", "pods"), "global-default"),
        (Digest(User("system:anonymous", ("system:unauthenticated",)), "get", "/api"), "global-default"),
    ],
)
def test_the_first_schema_that_matches_decides(digest: Digest, name: str) -> None:
    assert schema_of(digest) == name


def test_scopes_of_rules() -> None:
    rule = {
        "subjects": [{"kind": "User", "user": {"name": "*"}}],
        "resourceRules": [
            {"verbs": ["*"], "apiGroups": [""], "resources": ["pods"], "namespaces": ["a"], "clusterScope": False}
        ],
    }
    spec = {"priorityLevelConfiguration": {"name": "l"}, "matchingPrecedence": 1, "rules": [rule]}
    schema = compiled({"metadata": {"name": "s"}, "spec": spec})
    asked = Digest(User("u"), "get", "", "", "pods", "", "a")
    assert schema.matches(asked)
    assert not schema.matches(replace(asked, namespace="b"))
    assert not schema.matches(replace(asked, namespace=""))
    assert not schema.matches(replace(asked, subresource="log"))
    assert not schema.matches(replace(asked, group="apps"))


def test_hands_are_dealt_without_repetition_and_always_alike() -> None:
    shape = Shape(64, 8, 50)
    hands = [hand_of("s", f"user-{number}", shape) for number in range(200)]
    assert all(len(set(hand)) == 8 and max(hand) < 64 for hand in hands)
    assert hands[0] == hand_of("s", "user-0", shape) != hand_of("t", "user-0", shape)
    assert len(set(hands)) == 200
    assert set(Counter(index for hand in hands for index in hand)) == set(range(64))


def test_what_does_not_fit_waits_for_its_turn() -> None:
    level = Level("l", "", 2, SHAPE)
    hand = hand_of("s", "u", SHAPE)
    first, second, third = (level.arrive(hand, 1, 0.0) for _ in range(3))
    assert [one.state for one in (first, second, third)] == [Ticket.EXECUTING, Ticket.EXECUTING, Ticket.WAITING]
    begun: list[str] = []
    third.start = lambda: begun.append("third")
    level.leave(first, 1.0)
    assert begun == ["third"]
    assert third.state == Ticket.EXECUTING
    level.leave(first, 2.0)  # a second time
    assert (level.executing, level.seats_executing, level.waiting) == (2, 2, 0)


def test_refusals() -> None:
    level = Level("l", "", 1, Shape(1, 1, 2))
    for _ in range(3):
        level.arrive((0,), 1, 0.0)
    with pytest.raises(Refused, match=QUEUE_FULL):
        level.arrive((0,), 1, 0.0)
    rejecting = Level("r", "", 1)
    ticket = rejecting.arrive((), 1, 0.0)
    with pytest.raises(Refused, match=CONCURRENCY_LIMIT):
        rejecting.arrive((), 1, 0.0)
    rejecting.leave(ticket, 1.0)
    assert rejecting.arrive((), 1, 1.0).state == Ticket.EXECUTING


def test_a_request_wider_than_the_level_runs_alone() -> None:
    level = Level("l", "", 2, SHAPE)
    wide = level.arrive((0, 1), 5, 0.0)
    assert wide.state == Ticket.EXECUTING
    narrow = level.arrive((2, 3), 1, 0.0)
    assert narrow.state == Ticket.WAITING
    level.leave(wide, 1.0)
    assert narrow.state == Ticket.EXECUTING
    exempt = Level("e", "", None)
    assert all(exempt.arrive((), 1, 0.0).state == Ticket.EXECUTING for _ in range(100))


def test_who_gives_up_leaves_no_trace() -> None:
    level = Level("l", "", 1, SHAPE)
    running = level.arrive((0,), 1, 0.0)
    waiting = level.arrive((0,), 1, 0.0)
    level.leave(waiting, 1.0)
    assert (level.waiting, level.seats_waiting) == (0, 0)
    level.leave(running, 2.0)
    assert level.arrive((0,), 1, 3.0).state == Ticket.EXECUTING


def simulate(demands: dict[str, float], seconds: float, seats: int, length: dict[str, float]) -> Counter[str]:
    """How many requests of each flow are served when each keeps `demands` of them in line, one queue a flow."""
    shape = Shape(len(demands), 1, 1000)
    level = Level("l", "", seats, shape)
    queue_of = {name: (index,) for index, name in enumerate(demands)}
    running: list[tuple[float, str, Ticket]] = []
    served: Counter[str] = Counter()
    now = 0.0

    def ask(name: str) -> None:
        ticket = level.arrive(queue_of[name], 1, now)
        if ticket.state == Ticket.EXECUTING:
            running.append((now + length[name], name, ticket))
        else:
            ticket.start = lambda: running.append((now + length[name], name, ticket))

    for name, count in demands.items():
        for _ in range(int(count)):
            ask(name)
    while now < seconds:
        running.sort(key=lambda one: one[0])
        now, name, ticket = running.pop(0)
        served[name] += 1
        level.leave(ticket, now)
        ask(name)
    return served


def test_a_flood_takes_no_more_than_its_share() -> None:
    served = simulate({"flood": 200, "quiet": 4}, 100.0, 4, {"flood": 0.1, "quiet": 0.1})
    assert served["quiet"] == pytest.approx(served["flood"], rel=0.05)


def test_shares_are_of_time_not_of_requests() -> None:
    served = simulate({"long": 20, "short": 20}, 200.0, 4, {"long": 0.4, "short": 0.1})
    assert served["short"] == pytest.approx(4 * served["long"], rel=0.1)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_seats_are_never_exceeded_and_nobody_waits_beside_a_free_one(data: st.DataObject) -> None:
    limit = data.draw(st.integers(1, 5))
    level = Level("l", "", limit, Shape(4, 2, 6))
    present: list[Ticket] = []
    now = 0.0
    for _ in range(data.draw(st.integers(1, 60))):
        now += data.draw(st.floats(0, 0.1))
        leaving = data.draw(st.booleans())
        if present and leaving:
            level.leave(present.pop(data.draw(st.integers(0, len(present) - 1))), now)
        else:
            hand = hand_of("s", data.draw(st.sampled_from("abcdef")), level.shape)
            try:
                present.append(level.arrive(hand, data.draw(st.integers(1, limit)), now))
            except Refused:
                assert level.waiting
        executing = [one for one in present if one.state == Ticket.EXECUTING]
        waiting = [one for one in present if one.state == Ticket.WAITING]
        assert level.seats_executing == sum(one.seats for one in executing) <= limit
        assert (level.waiting, level.seats_waiting) == (len(waiting), sum(one.seats for one in waiting))
        assert executing or not waiting
    for one in present:
        level.leave(one, now)
    assert (level.executing, level.seats_executing, level.waiting) == (0, 0, 0)


def test_seats_by_configuration_are_upstreams() -> None:
    levels = [allocation.settings_of(obj) for obj in priority_levels()]
    seats = allocation.nominal(600, levels)
    assert {name: one.nominal for name, one in seats.items()} == {
        "exempt": 0,
        "catch-all": 13,
        "system": 74,
        "node-high": 98,
        "leader-election": 25,
        "workload-high": 98,
        "workload-low": 245,
        "global-default": 49,
    }
    assert (seats["workload-low"].least, seats["workload-low"].most) == (25, 845)
    assert seats["leader-election"].least == 25


def test_idle_levels_lend_to_busy_ones() -> None:
    levels = [allocation.settings_of(obj) for obj in priority_levels()]
    seats = allocation.nominal(600, levels)
    wishes = {one.name: allocation.Wish() for one in levels}
    idle = allocation.current(600, levels, seats, wishes)
    assert all(idle[name] >= seats[name].least for name in idle)
    wishes["global-default"] = allocation.Wish(500, 500.0)
    busy = allocation.current(600, levels, seats, wishes)
    assert busy["global-default"] > 4 * seats["global-default"].nominal
    assert sum(busy.values()) == pytest.approx(600, abs=len(busy))
    assert all(seats[name].least <= busy[name] <= seats[name].most for name in busy)
    wishes["exempt"] = allocation.Wish(500, 500.0)  # what those use who never wait is missing to the others
    pressed = allocation.current(600, levels, seats, wishes)
    assert pressed == {name: seats[name].least for name in pressed}


def test_without_priorities_reads_and_writes_are_counted() -> None:
    limits = InFlight(1, 1)
    leave = limits.enter(False, False)
    with pytest.raises(Busy):
        limits.enter(False, False)
    limits.enter(True, False)
    limits.enter(False, True)()  # administrators always get through
    leave()
    limits.enter(False, False)
    unlimited = InFlight(0, 0)
    for _ in range(1000):
        unlimited.enter(True, False)


def gate_and_objects() -> tuple[Gate, ManualClock]:
    objects, clock = MemoryObjects(), ManualClock()
    stored(objects)
    return Gate(Configuration(objects, 600, clock.monotonic), clock, 60.0, lambda exchange: 350_000), clock


def exchange_of(path: str, query: bytes = b"") -> Exchange:
    async def nothing(*_: object) -> Any:
        return {"type": "http.disconnect"}

    scope = {"type": "http", "method": "GET", "path": path, "headers": [], "query_string": query}
    made = Exchange(scope, nothing, nothing)
    made.user = User("u", AUTHENTICATED)
    return made


@pytest.mark.parametrize(
    ("path", "query", "seats"),
    [
        ("/api/v1/pods", b"", 4),
        ("/api/v1/namespaces/a/pods/p", b"", 1),
        ("/api/v1/pods", b"fieldSelector=metadata.name%3Dx", 1),
        ("/api/v1/pods", b"watch=1", 4),
        ("/api/v1/pods", b"watch=1&resourceVersion=7", 1),
        ("/api/v1/pods", b"watch=1&resourceVersion=7&sendInitialEvents=true", 4),
        ("/version", b"", 1),
    ],
)
def test_long_lists_take_more_seats(path: str, query: bytes, seats: int) -> None:
    gate, _ = gate_and_objects()
    exchange = exchange_of(path, query)
    ticket = gate.enter(gate.flow(exchange), exchange)
    assert ticket.seats == seats


async def test_who_waits_too_long_is_refused_and_who_is_called_goes_on() -> None:
    gate, clock = gate_and_objects()
    exchange = exchange_of("/api/v1/namespaces/a/pods/p")
    flow = gate.flow(exchange)
    assert flow.level.limit is not None
    running = [gate.enter(flow, exchange) for _ in range(flow.level.limit)]
    next_one = gate.enter(flow, exchange)
    assert next_one.state == Ticket.WAITING
    waiting = asyncio.ensure_future(gate.wait(flow, next_one))
    await asyncio.sleep(0)
    gate.leave(flow, running[0])
    await waiting
    assert next_one.state == Ticket.EXECUTING
    given_up = gate.enter(flow, exchange)
    waiting = asyncio.ensure_future(gate.wait(flow, given_up))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert (given_up.state, flow.level.waiting) == (Ticket.DONE, 0)
    impatient = Gate(gate.configuration, clock, 0.04, lambda exchange: 0)
    late = impatient.enter(flow, exchange)
    with pytest.raises(Busy):
        await impatient.wait(flow, late)
    assert flow.counts.rejected == {"time-out": 1}


def stored(objects: MemoryObjects) -> None:
    group = "flowcontrol.apiserver.k8s.io"
    for plural, all_of in (("prioritylevelconfigurations", priority_levels()), ("flowschemas", flow_schemas())):
        for obj in all_of:
            objects.put(plural, obj["metadata"]["name"], "", group, "v1", spec=obj["spec"])


def test_the_configuration_follows_its_objects() -> None:
    objects = MemoryObjects()
    configuration = Configuration(objects, 600, lambda: 0.0)
    user = User("u", AUTHENTICATED)
    asked = parse("GET", "/api/v1/namespaces/a/pods/p", {})
    assert configuration.flow(user, asked).schema.name == "catch-all"  # nothing is stored yet
    stored(objects)
    flow = configuration.flow(user, asked)
    assert (flow.schema.name, flow.level.name) == ("global-default", "global-default")
    assert flow.marks[0] == (b"x-kubernetes-pf-flowschema-uid", b"uid-global-default")
    assert configuration.flow(user, asked) is flow
    rules = [
        {
            "subjects": [{"kind": "User", "user": {"name": "u"}}],
            "resourceRules": [
                {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"], "namespaces": ["*"], "clusterScope": True}
            ],
        }
    ]
    spec: dict[str, Any] = {"priorityLevelConfiguration": {"name": "mine"}, "matchingPrecedence": 5, "rules": rules}
    objects.put("flowschemas", "mine", "", "flowcontrol.apiserver.k8s.io", "v1", spec=spec)
    assert configuration.flow(user, asked).schema.name == "global-default"
    assert configuration.dangling()["mine"]
    limited = {"type": "Limited", "limited": {"nominalConcurrencyShares": 10, "limitResponse": {"type": "Reject"}}}
    objects.put("prioritylevelconfigurations", "mine", "", "flowcontrol.apiserver.k8s.io", "v1", spec=limited)
    flow = configuration.flow(user, asked)
    assert (flow.schema.name, flow.level.limit, flow.hand) == ("mine", configuration.levels["mine"].limit, ())
    assert not configuration.dangling()["mine"]


def test_the_condition_of_schemas() -> None:
    obj = {"metadata": {"name": "s"}, "spec": {"priorityLevelConfiguration": {"name": "l"}}}
    marked = with_condition(obj, True, 0.0)
    assert marked is not None
    assert marked["status"]["conditions"][0] == {
        "type": "Dangling",
        "status": "True",
        "lastTransitionTime": "1970-01-01T00:00:00Z",
        "reason": "NotFound",
        "message": 'This FlowSchema references the PriorityLevelConfiguration object named "l" '
        "but there is no such object",
    }
    assert with_condition(marked, True, 9.0) is None
    found = with_condition(marked, False, 9.0)
    assert found is not None
    assert (found["status"]["conditions"][0]["reason"], len(found["status"]["conditions"])) == ("Found", 1)
