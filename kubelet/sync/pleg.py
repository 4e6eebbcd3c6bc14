"""Notices what the runtime did to a pod's containers: its event stream, or a list each second without one.

Only the pod's uid is passed on; the pod's worker then looks for itself. After a break in the stream everything is
listed once, so nothing that happened meanwhile stays unseen.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Mapping

from component_base.clock import Clock
from kubelet.containers.config import POD_UID
from kubelet.cri.runtime import Containers, RuntimeFailure

log = logging.getLogger(__name__)

RELIST = 1.0
RELIST_BESIDE_EVENTS = 300.0
HEALTHY_WITHIN = 180.0

Picture = Mapping[str, frozenset[tuple[str, int]]]
"""uid -> (id, state) of its sandboxes and containers."""


class Pleg:
    def __init__(self, runtime: Containers, clock: Clock, changed: Callable[[str], None]) -> None:
        self._runtime = runtime
        self._clock = clock
        self._changed = changed
        self._last: Picture = {}
        self._listed_at = clock.monotonic()
        self._streaming = False
        self._failing = False

    @property
    def healthy(self) -> bool:
        return self._streaming or self._clock.monotonic() - self._listed_at < HEALTHY_WITHIN

    @property
    def silent_for(self) -> float:
        return 0.0 if self._streaming else self._clock.monotonic() - self._listed_at

    async def run(self) -> None:
        supported = True
        while True:
            await self.relist()
            if supported:
                supported = await self._stream()
            await self._clock.sleep(RELIST)

    async def relist(self) -> None:
        try:
            picture = await self._picture()
        except RuntimeFailure as failure:
            if not self._failing:
                log.warning("cannot list the runtime's containers: %s", failure)
            self._failing = True
            return
        self._failing = False
        self._listed_at = self._clock.monotonic()
        before, self._last = self._last, picture
        for uid in before.keys() | picture.keys():
            if before.get(uid) != picture.get(uid):
                self._changed(uid)

    async def _picture(self) -> Picture:
        found: dict[str, set[tuple[str, int]]] = {}
        for sandbox in await self._runtime.list_sandboxes():
            found.setdefault(sandbox.labels.get(POD_UID, ""), set()).add((sandbox.id, sandbox.state))
        for container in await self._runtime.list_containers():
            found.setdefault(container.labels.get(POD_UID, ""), set()).add((container.id, container.state))
        found.pop("", None)
        return {uid: frozenset(members) for uid, members in found.items()}

    async def _stream(self) -> bool:
        """Until the stream ends, or it is time for another look at everything. False when the runtime has none."""
        self._streaming = True
        try:
            async with asyncio.timeout(RELIST_BESIDE_EVENTS), contextlib.aclosing(self._runtime.events()) as events:
                async for event in events:
                    uid = event.pod_sandbox_status.metadata.uid
                    if uid:
                        self._changed(uid)
        except TimeoutError:
            return True
        except RuntimeFailure as failure:
            if failure.code == "UNIMPLEMENTED":
                return False
            if not self._failing:
                log.warning("the runtime's event stream broke: %s", failure)
        finally:
            self._streaming = False
        return True
