"""Tells the apiserver a pod's status: the newest value wins, one request in flight, until it is accepted."""

import asyncio
import logging
from typing import Any

import httpx

from apimachinery.errors import StatusError
from component_base.clock import Clock
from component_base.tasks import spawn
from kubelet.api import Api, pod_path
from kubelet.pod import Pod
from kubelet.sync.conditions import OWNED

log = logging.getLogger(__name__)
JSON = dict[str, Any]
FIRST_DELAY = 0.2
MAX_DELAY = 10.0
MIRROR_DELAY = 1.0
"""Between looks for a mirror that has not been made yet."""


def status_patch(uid: str, wanted: JSON, before: JSON) -> JSON:
    """A strategic merge patch from `before` to `wanted`; only conditions the kubelet owns are named."""
    patch: JSON = {key: value for key, value in wanted.items() if before.get(key) != value}
    for key in before:
        if key in ("reason", "message", "podIP", "podIPs", "nominatedNodeName") and key not in wanted:
            patch[key] = None
    if "conditions" in patch:
        patch["conditions"] = [c for c in wanted["conditions"] if c["type"] in OWNED]
    for key in ("podIPs", "hostIPs"):
        # These lists merge by address: an old address would stay without the directive.
        if patch.get(key) and before.get(key):
            patch[key] = [*patch[key], {"$patch": "replace"}]
    return {"metadata": {"uid": uid}, "status": patch} if uid else {"status": patch}


class StatusPublisher:
    """Of one pod. `gone` turns true when the apiserver knows this pod no longer."""

    def __init__(self, api: Api, clock: Clock, pod: Pod) -> None:
        self._api = api
        self._clock = clock
        # A static pod's status goes to its mirror, which has a uid of its own and may not be there yet.
        self._uid = "" if pod.is_static else pod.uid
        self._path = pod_path(pod.metadata.namespace, pod.metadata.name, "status")
        self._wanted: JSON | None = None
        self._sent: JSON = pod.status
        self._idle = asyncio.Event()
        self._idle.set()
        self.gone = False

    def publish(self, status: JSON) -> None:
        if status == self._wanted or (self._wanted is None and status == self._sent):
            return
        self._wanted = status
        self._kick()

    def send_again(self) -> None:
        """The object is another one now (a mirror made anew), which has no status yet."""
        self._sent = {}
        if self._wanted is not None:
            self._kick()

    def _kick(self) -> None:
        if self._idle.is_set():
            self._idle.clear()
            spawn(self._send(), f"status of {self._path}")

    async def flush(self) -> None:
        """Returns when the apiserver has accepted the newest status, or knows the pod no longer."""
        await self._idle.wait()

    async def _send(self) -> None:
        delay = FIRST_DELAY
        try:
            while not self.gone and self._wanted is not None and self._wanted != self._sent:
                wanted = self._wanted
                try:
                    await self._api.patch(self._path, status_patch(self._uid, wanted, self._sent))
                    self._sent, delay = wanted, FIRST_DELAY
                except StatusError as error:
                    if self._uid and error.code in (403, 404, 409) and await self._is_gone():
                        self.gone = True
                    elif not self._uid and error.code == 404:
                        await self._clock.sleep(MIRROR_DELAY)
                    elif error.code in (400, 422):
                        log.error("the apiserver refuses the status of %s: %s", self._path, error.message)
                        self._sent = wanted
                    else:
                        delay = await self._pause(delay, error)
                except (httpx.HTTPError, OSError) as error:
                    delay = await self._pause(delay, error)
        finally:
            self._idle.set()

    async def _pause(self, delay: float, error: Exception) -> float:
        log.warning("cannot send %s, retrying in %.1f s: %s", self._path, delay, error)
        await self._clock.sleep(delay)
        return min(delay * 2, MAX_DELAY)

    async def _is_gone(self) -> bool:
        try:
            found = await self._api.get(self._path.removesuffix("/status"))
        except StatusError as error:
            # The node authorizer forbids what it does not know to be this node's, a pod that is gone among it.
            return error.code in (403, 404)
        except (httpx.HTTPError, OSError):
            return False
        return bool(found["metadata"]["uid"] != self._uid)
