"""What every part of the shim works with: the machine's traits, containerd, the store, time and chance."""

from __future__ import annotations

from dataclasses import dataclass

from component_base.clock import Clock
from component_base.rng import Rng
from kubelet.cri_shim.cni import CniClient
from kubelet.cri_shim.containerd_client import Containerd
from kubelet.cri_shim.event_feed import EventFeed
from kubelet.cri_shim.image_catalog import ImageCatalog
from kubelet.cri_shim.image_load import ImageLoader
from kubelet.cri_shim.oci_resources import HostTraits
from kubelet.cri_shim.settings import Settings
from kubelet.cri_shim.store import Store


@dataclass(frozen=True, slots=True)
class Core:
    settings: Settings
    traits: HostTraits
    containerd: Containerd
    catalog: ImageCatalog
    loader: ImageLoader
    store: Store
    cni: CniClient
    feed: EventFeed
    clock: Clock
    rng: Rng

    def new_id(self) -> str:
        return f"{self.rng.getrandbits(256):064x}"

    def now_ns(self) -> int:
        return int(self.clock.now() * 1e9)

    def read_profile(self, reference: str) -> str:
        """A Localhost seccomp profile; the kubelet sends its full path."""
        with open(reference, encoding="utf-8") as file:
            return file.read()
