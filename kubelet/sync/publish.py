"""Tells the apiserver a pod's status: the newest value wins, one request in flight, until it is accepted."""

import asyncio
import logging
from typing import Any

import httpx

from apimachinery.errors import StatusError
from component_base.clock import Clock
from component_base.tasks import spawn
from kubelet.api import Api, pod_path
from kubelet.pod import Pod, from_object
from kubelet.sync.conditions import OWNED

log = logging.getLogger(__name__)
JSON = dict[str, Any]
TOLD_BY_US = ("phase", "podIP", "podIPs", "containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses")
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
        told = {c["type"]: c for c in before.get("conditions") or ()}
        patch["conditions"] = [
            # Conditions merge by type: what is not said any more (a reason) has to be taken back by name.
            dict.fromkeys(told.get(c["type"], {}).keys() - c.keys()) | c
            for c in wanted["conditions"]
            if c["type"] in OWNED
        ]
    for key in ("podIPs", "hostIPs"):
        # These lists merge by address: an old address would stay without the directive.
        if patch.get(key) and before.get(key):
            patch[key] = [*patch[key], {"$patch": "replace"}]
    return {"metadata": {"uid": uid}, "status": patch} if uid else {"status": patch}


def _newer(one: Pod, other: Pod) -> bool:
    """By resource version, which is a growing number for the versions of one kind (KEP-5504)."""
    return int(one.metadata.resource_version or 0) > int(other.metadata.resource_version or 0)


def _ours(status: JSON) -> JSON:
    """The part of a status that nobody but this kubelet has to write."""
    ours: JSON = {key: status.get(key) or None for key in TOLD_BY_US}
    for condition in status.get("conditions") or ():
        if condition["type"] in OWNED:
            ours[condition["type"]] = tuple(condition.get(key) for key in ("status", "reason", "message"))
    return ours


class StatusPublisher:
    """Of one pod. `gone` turns true when the apiserver knows this pod no longer.

    Others write into a pod's status too: the node lifecycle controller turns Ready to False while the node is silent.
    `observed` gets every version the watch brings; one newer than our last write that says otherwise is written over.
    """

    def __init__(self, api: Api, clock: Clock, pod: Pod) -> None:
        self._api = api
        self._clock = clock
        # A static pod's status goes to its mirror, which has a uid of its own and may not be there yet.
        self._uid = "" if pod.is_static else pod.uid
        self._path = pod_path(pod.metadata.namespace, pod.metadata.name, "status")
        self._wanted: JSON | None = None
        self._sent: JSON = pod.status
        self._accepted = pod
        """The newest version that holds what we sent, as the apiserver stored it."""
        self._seen = pod
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

    def observed(self, pod: Pod) -> None:
        """The API holds this version now: the pod's, or its mirror's."""
        self._seen = pod
        if self._idle.is_set():
            self._compare()
            if self._wanted is not None and self._wanted != self._sent:
                self._kick()

    def _compare(self) -> None:
        """Takes what somebody else wrote after us as what stands there, so that it differs from what is wanted."""
        seen, accepted = self._seen, self._accepted
        if seen.metadata.uid != accepted.metadata.uid or not _newer(seen, accepted):
            return
        if _ours(seen.status) != _ours(accepted.status):
            self._sent = seen.status
        self._accepted = seen

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
                    answer = await self._api.patch(self._path, status_patch(self._uid, wanted, self._sent))
                    self._sent, delay = wanted, FIRST_DELAY
                    self._accepted = from_object(answer)
                    self._compare()
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
