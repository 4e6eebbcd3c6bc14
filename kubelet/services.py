"""The cluster's services, for the environment variables of containers: one watch, started when the kubelet starts."""

import asyncio
from collections.abc import Sequence

import msgspec

from component_base.clock import Clock
from kubelet.api import Api
from kubelet.containers.facts import ServiceFacts, ServicePort
from kubelet.follow import follow


class _Port(msgspec.Struct):
    port: int = 0
    name: str = ""
    protocol: str = "TCP"


class _Meta(msgspec.Struct):
    name: str = ""
    namespace: str = ""


class _Spec(msgspec.Struct):
    cluster_ip: str = msgspec.field(default="", name="clusterIP")
    ports: list[_Port] | None = None


class _Service(msgspec.Struct):
    metadata: _Meta
    spec: _Spec = msgspec.field(default_factory=_Spec)


_decoder = msgspec.json.Decoder(_Service)


class Services:
    def __init__(self, api: Api, clock: Clock) -> None:
        self._api = api
        self._clock = clock
        self._known: dict[str, ServiceFacts] = {}
        self.synced = asyncio.Event()

    def current(self) -> Sequence[ServiceFacts]:
        return list(self._known.values())

    async def run(self) -> None:
        await follow(
            self._api,
            self._clock,
            "/api/v1/services",
            {},
            decode=_decoder.decode,
            on_change=self._change,
            on_synced=self._sync,
        )

    def _change(self, uid: str, service: _Service | None) -> None:
        if service is None:
            self._known.pop(uid, None)
            return
        ports = tuple(ServicePort(p.port, p.name, p.protocol) for p in service.spec.ports or ())
        meta = service.metadata
        self._known[uid] = ServiceFacts(meta.name, meta.namespace, service.spec.cluster_ip, ports)

    def _sync(self, present: set[str]) -> None:
        self._known = {uid: service for uid, service in self._known.items() if uid in present}
        self.synced.set()
