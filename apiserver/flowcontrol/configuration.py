"""The FlowSchemas and priority levels in force, from their objects as they change.

What a request pays is one look into a dictionary: the answer for a user, a verb and a kind is remembered until the
configuration changes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from apimachinery import resources
from apimachinery.resources import ResourceInfo
from apiserver.bootstrap.flow_control import GROUP, flow_schemas, priority_levels
from apiserver.endpoints.path import Target
from apiserver.flowcontrol import allocation
from apiserver.flowcontrol.queues import Level, hand_of
from apiserver.flowcontrol.schemas import Digest, FlowSchema, compiled, in_order
from apiserver.ports import Objects, User

JSON = dict[str, Any]
#: Without these two nothing could be decided: they are in force even when their objects are gone.
MANDATORY = ("exempt", "catch-all")
#: Names and paths are the clients': at most so many answers are remembered.
MAX_REMEMBERED = 20_000


@dataclass(slots=True)
class Counts:
    """What has happened to the requests of one FlowSchema on one level."""

    dispatched: int = 0
    rejected: dict[str, int] = field(default_factory=dict)
    waits: list[float] = field(default_factory=lambda: [0.0, 0.0])
    """How often, and seconds in all."""
    runs: list[float] = field(default_factory=lambda: [0.0, 0.0])


@dataclass(slots=True)
class Flow:
    """Requests that are treated alike: the level, the hand of its queues, and the headers of their answers."""

    schema: FlowSchema
    level: Level
    hand: tuple[int, ...]
    counts: Counts
    most_seats: int
    marks: tuple[tuple[bytes, bytes], ...]


class Configuration:
    def __init__(self, objects: Objects, server_seats: int, now: Callable[[], float]) -> None:
        self._now = now
        self._server = server_seats
        self._schema_objects: dict[str, JSON] = {}
        self._level_objects: dict[str, JSON] = {}
        self._schemas: list[FlowSchema] = []
        self.settings: list[allocation.Settings] = []
        self.seats: dict[str, allocation.Seats] = {}
        self.levels: dict[str, Level] = {}
        self._wishes: dict[str, allocation.Wish] = {}
        self.counts: dict[tuple[str, str], Counts] = {}
        self._remembered: dict[tuple[object, ...], Flow] = {}
        self._stale = True
        self.listeners: list[Callable[[], None]] = []
        objects.on_change(info("flowschemas"), lambda old, new: self._changed(self._schema_objects, old, new))
        plural = info("prioritylevelconfigurations")
        objects.on_change(plural, lambda old, new: self._changed(self._level_objects, old, new))

    def _changed(self, known: dict[str, JSON], old: JSON | None, new: JSON | None) -> None:
        name = (new or old or {})["metadata"]["name"]
        if new is None:
            known.pop(name, None)
        else:
            known[name] = new
        if old is None or new is None or old["spec"] != new["spec"]:
            self._stale = True
        for listener in self.listeners:
            listener()

    # -- Asked by requests

    def flow(self, user: User, target: Target) -> Flow:
        if self._stale:
            self._digest()
        resource = target.resource
        key = (
            user.name,
            user.groups,
            target.verb,
            resource or target.path,
            target.group,
            target.subresource,
            target.namespace,
            not resource,
        )
        found = self._remembered.get(key)
        if found is None:
            if len(self._remembered) >= MAX_REMEMBERED:
                self._remembered.clear()
            found = self._remembered[key] = self._classify(
                Digest(user, target.verb, target.path, target.group, resource, target.subresource, target.namespace)
            )
        return found

    def _classify(self, digest: Digest) -> Flow:
        schema = next((one for one in self._schemas if one.matches(digest)), self._schemas[-1])
        level = self.levels[schema.level]
        held = self.seats[schema.level]
        counts = self.counts.setdefault((level.name, schema.name), Counts())
        marks = (
            (b"x-kubernetes-pf-flowschema-uid", schema.uid.encode()),
            (b"x-kubernetes-pf-prioritylevel-uid", level.uid.encode()),
        )
        hand = hand_of(schema.name, schema.flow(digest), level.shape)
        return Flow(schema, level, hand, counts, allocation.most_seats(held, level.shape), marks)

    # -- Following the objects

    def dangling(self) -> dict[str, bool]:
        """Of each stored FlowSchema, whether its priority level is missing."""
        known = self._level_objects.keys() | set(MANDATORY)
        schemas = self._schema_objects.items()
        return {name: obj["spec"]["priorityLevelConfiguration"]["name"] not in known for name, obj in schemas}

    def _digest(self) -> None:
        now = self._now()
        levels = dict(self._level_objects)
        for obj in priority_levels():
            if obj["metadata"]["name"] in MANDATORY:
                levels.setdefault(obj["metadata"]["name"], obj)
        schemas = dict(self._schema_objects)
        for obj in flow_schemas():
            if obj["metadata"]["name"] in MANDATORY:
                schemas.setdefault(obj["metadata"]["name"], obj)
        self.settings = [allocation.settings_of(obj) for _, obj in sorted(levels.items())]
        self.seats = allocation.nominal(self._server, self.settings)
        for gone in self.levels.keys() - levels.keys():
            del self.levels[gone], self._wishes[gone]
        for one in self.settings:
            level = self.levels.get(one.name)
            if level is None:
                limit = None if one.exempt else self.seats[one.name].nominal
                self.levels[one.name] = level = Level(one.name, one.uid, limit, one.shape)
                self._wishes[one.name] = allocation.Wish()
            level.uid = one.uid
        known = [compiled(obj) for obj in schemas.values()]
        self._schemas = in_order([one for one in known if one.level in self.levels])
        self._remembered.clear()
        self._stale = False
        self._give_out(now)

    def rebalance(self) -> None:
        """Looks at what levels have used since the last time, and lends seats accordingly."""
        if self._stale:
            self._digest()
        now = self._now()
        for name, level in self.levels.items():
            self._wishes[name].update(*level.demand.take(now))
        self._give_out(now)

    def _give_out(self, now: float) -> None:
        limits = allocation.current(self._server, self.settings, self.seats, self._wishes)
        for one in self.settings:
            self.levels[one.name].reshape(limits.get(one.name), one.shape, now)


def info(plural: str) -> ResourceInfo:
    found = resources.find(GROUP, "v1", plural)
    assert found is not None, plural
    return found
