"""Claims and volumes, bound to each other one to one, and parted again."""

from __future__ import annotations

from collections.abc import Callable

from controller_manager.volumes.claims import Claims
from controller_manager.volumes.release import Volumes
from kubeclient.informer import Informers
from kubeclient.plan import Plan


class PersistentVolumeBinder:
    """Both sides in one queue: a claim's key has a namespace (`x/data`), a volume's has none."""

    name = "persistentvolume-binder-controller"

    def __init__(self, informers: Informers) -> None:
        self._claims = Claims(informers)
        self._volumes = Volumes(informers)

    def watch(self, enqueue: Callable[[str], None]) -> None:
        self._claims.watch(enqueue)
        self._volumes.watch(enqueue)

    def reconcile(self, key: str, now: float) -> Plan:
        return self._claims.plan(key) if "/" in key else self._volumes.plan(key)
