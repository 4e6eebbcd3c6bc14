"""Aggregated ClusterRoles: `admin`, `edit` and `view` hold the rules of all roles that carry their labels.

Upstream has a controller for this. Here each apiserver does it, since without these rules nobody but an administrator
can do anything; several of them compute the same and write only what differs.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from typing import Any

from apimachinery import selectors
from apimachinery.errors import StatusError
from apiserver.authz.rbac import rbac_resource
from apiserver.ports import JSON, Objects
from component_base.clock import Clock

log = logging.getLogger(__name__)

SETTLE_SECONDS = 0.02  # roles come in crowds at start: gather once for all of them
RETRY_SECONDS = 5.0
MOST_PASSES = 8  # deeper nesting waits for the next change: roles that feed each other must not spin


class Aggregator:
    def __init__(self, objects: Objects, clock: Clock) -> None:
        self._objects = objects
        self._clock = clock
        self._roles = rbac_resource("clusterroles")
        self._changed = asyncio.Event()
        objects.on_change(self._roles, self._note)

    def _note(self, old: JSON | None, new: JSON | None) -> None:
        if old is None or new is None or _matters(old) != _matters(new):
            self._changed.set()

    async def run(self) -> None:
        """For ever."""
        while True:
            await self._changed.wait()
            await self._clock.sleep(SETTLE_SECONDS)
            self._changed.clear()
            try:
                await self.gather()
            except StatusError as error:
                log.warning("cannot write an aggregated ClusterRole: %s; trying again", error.message)
                self._changed.set()
                await self._clock.sleep(RETRY_SECONDS)

    async def gather(self) -> None:
        """Brings all aggregated roles up to date, until those that gather aggregated ones have settled too."""
        for _ in range(MOST_PASSES):
            roles = self._objects.list(self._roles)
            stale = [
                (role["metadata"]["name"], rules)
                for role in roles
                if role.get("aggregationRule") and (rules := gathered(role, roles)) != (role.get("rules") or [])
            ]
            if not stale:
                return
            for name, rules in stale:
                await self._write(name, rules)
            await self._objects.synced(self._roles)

    async def _write(self, name: str, rules: list[JSON]) -> None:
        def change(current: JSON) -> JSON | None:
            if not current.get("aggregationRule") or (current.get("rules") or []) == rules:
                return None
            current["rules"] = rules
            return current

        try:
            await self._objects.update(self._roles, "", name, change)
        except StatusError as error:
            if error.code != 404:
                raise


def gathered(role: JSON, roles: Iterable[JSON]) -> list[JSON]:
    """The rules of the roles that it selects, in the order of their names, each once."""
    chosen = [
        selectors.from_label_selector(selector)
        for selector in role["aggregationRule"].get("clusterRoleSelectors") or ()
    ]
    rules: list[dict[str, Any]] = []
    for other in sorted(roles, key=lambda one: str(one["metadata"]["name"])):
        metadata = other["metadata"]
        if metadata["name"] == role["metadata"]["name"]:
            continue
        if any(selector.matches(metadata.get("labels") or {}) for selector in chosen):
            rules += [rule for rule in other.get("rules") or () if rule not in rules]
    return rules


def _matters(role: JSON) -> tuple[Any, ...]:
    return role["metadata"].get("labels"), role.get("rules"), role.get("aggregationRule")
