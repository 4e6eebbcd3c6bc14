"""Watches into the zone: the only writer of the names that are answered."""

from __future__ import annotations

from cluster_dns.views import LABEL_SERVICE_NAME, EndpointSlice, Namespace, Service
from cluster_dns.zone import Zone
from kubeclient.informer import Informers


def feed(informers: Informers, zone: Zone) -> None:
    """Ask before `informers.run()`; the zone is complete once they are synced."""

    def on_namespace(old: Namespace | None, new: Namespace | None) -> None:
        found = new or old
        assert found is not None
        zone.set_namespace(found.metadata.name, new is not None)

    def on_service(old: Service | None, new: Service | None) -> None:
        found = new or old
        assert found is not None
        zone.set_service(found.metadata.namespace, found.metadata.name, new)

    def on_slice(old: EndpointSlice | None, new: EndpointSlice | None) -> None:
        before, after = _owner(old), _owner(new)
        if old is not None and before and before != after:
            zone.set_slice(old.metadata.namespace, old.metadata.name, before, None)
        if new is not None and after:
            zone.set_slice(new.metadata.namespace, new.metadata.name, after, new)

    informers.of("/api/v1/namespaces", Namespace).add_handler(on_namespace)
    informers.of("/api/v1/services", Service).add_handler(on_service)
    informers.of("/apis/discovery.k8s.io/v1/endpointslices", EndpointSlice).add_handler(on_slice)


def _owner(piece: EndpointSlice | None) -> str:
    return piece.metadata.labels.get(LABEL_SERVICE_NAME, "") if piece is not None else ""
