"""Keeps the EndpointSlices of each Service with a selector."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from apimachinery import timestamps
from controller_manager.endpointslice import members as membership
from controller_manager.endpointslice import slices
from controller_manager.endpointslice.slices import Group
from controller_manager.ownership import Owner
from controller_manager.views import Endpoint, EndpointSlice, Node, Pod, Service
from kubeclient.informer import Informer, Informers
from kubeclient.plan import NOTHING, Action, Create, Delete, Plan, Replace

COLLECTION = "/apis/discovery.k8s.io/v1/endpointslices"


def enqueue_services_of(pods: Informer[Pod], services: Informer[Service], enqueue: Callable[[str], None]) -> None:
    """Enqueue the Services whose membership or whose view of a pod a pod's change may alter."""

    def on_pod(old: Pod | None, new: Pod | None) -> None:
        if old is not None and new is not None and _same_endpoint(old, new):
            return
        for service in services.in_namespace((new or old).metadata.namespace):  # type: ignore[union-attr]
            selector = service.spec.selector
            if selector and any(pod and selector.items() <= pod.metadata.labels.items() for pod in (old, new)):
                enqueue(service.metadata.key)

    pods.add_handler(on_pod)


def _same_endpoint(old: Pod, new: Pod) -> bool:
    return (
        old.metadata.labels == new.metadata.labels
        and old.metadata.uid == new.metadata.uid
        and old.metadata.deletionTimestamp == new.metadata.deletionTimestamp
        and old.spec == new.spec
        and old.status.podIPs == new.status.podIPs
        and old.status.podIP == new.status.podIP
        and old.status.phase == new.status.phase
        and old.is_ready == new.is_ready
    )


def selected(service: Service, pods: Informer[Pod]) -> list[Pod]:
    selector = service.spec.selector or {}
    return [p for p in pods.in_namespace(service.metadata.namespace) if selector.items() <= p.metadata.labels.items()]


class EndpointSliceController:
    name = "endpointslice"

    def __init__(self, informers: Informers) -> None:
        self._services = informers.of("/api/v1/services", Service)
        self._pods = informers.of("/api/v1/pods", Pod)
        self._nodes = informers.of("/api/v1/nodes", Node)
        self._slices = informers.of(COLLECTION, EndpointSlice)

    def watch(self, enqueue: Callable[[str], None]) -> None:
        self._services.add_key_handler(enqueue)
        enqueue_services_of(self._pods, self._services, enqueue)

        def on_slice(old: EndpointSlice | None, new: EndpointSlice | None) -> None:
            found = new or old
            assert found is not None
            name = found.metadata.labels.get(slices.SERVICE_NAME)
            if name and found.metadata.labels.get(slices.MANAGED_BY) == slices.MANAGER:
                enqueue(f"{found.metadata.namespace}/{name}")

        self._slices.add_handler(on_slice)

    def reconcile(self, key: str, now: float) -> Plan:
        service = self._services.get(key)
        if service is None or service.spec.type == "ExternalName" or not service.spec.selector:
            return NOTHING
        if service.metadata.deletionTimestamp is not None:
            return NOTHING
        wanted = self._wanted(service)
        layout = slices.lay_out(wanted, self._existing(service))
        owner = Owner("v1", "Service", service.metadata)
        path = f"/apis/discovery.k8s.io/v1/namespaces/{service.metadata.namespace}/endpointslices"
        trigger = timestamps.format(now)
        batch: list[Action] = []
        for group, endpoints in layout.created:
            body = slices.body(service, owner.reference(), group, endpoints, trigger)
            body["metadata"]["generateName"] = f"{service.metadata.name}-"
            batch.append(Create(path, body))
        for found, endpoints in layout.changed:
            group = (found.addressType, tuple(found.ports or ()))
            batch.append(self._replace(path, service, owner, found, group, endpoints, trigger))
        batch += self._relabelled(path, service, owner, layout, trigger)
        for found in layout.deleted:
            batch.append(Delete(f"{path}/{found.metadata.name}", found.metadata.uid))
        return Plan([batch]) if batch else NOTHING

    def _existing(self, service: Service) -> list[EndpointSlice]:
        return [
            found
            for found in self._slices.in_namespace(service.metadata.namespace)
            if found.metadata.labels.get(slices.SERVICE_NAME) == service.metadata.name
            and found.metadata.labels.get(slices.MANAGED_BY) == slices.MANAGER
            and found.metadata.deletionTimestamp is None
        ]

    def _wanted(self, service: Service) -> dict[Group, Sequence[Endpoint]]:
        wanted: dict[Group, list[Endpoint]] = {}
        for member in membership.members(service, selected(service, self._pods)):
            node = self._nodes.get(member.pod.spec.nodeName)
            entry = membership.endpoint(service, member, node)
            wanted.setdefault((member.family, member.ports), []).append(entry)
        # A Service without pods keeps one empty slice, so that watchers can tell it from one never seen.
        for family in membership.families(service):
            if not any(group[0] == family for group in wanted):
                wanted[(family, ())] = []
        return dict(wanted)

    def _relabelled(
        self, path: str, service: Service, owner: Owner, layout: slices.Layout, trigger: str
    ) -> list[Action]:
        """Slices whose endpoints stay but whose labels no longer follow the Service's."""
        handled = {found.metadata.uid for found, _ in layout.changed} | {f.metadata.uid for f in layout.deleted}
        labels = slices.labels_for(service)
        return [
            self._replace(
                path,
                service,
                owner,
                found,
                (found.addressType, tuple(found.ports or ())),
                found.endpoints or [],
                trigger,
            )
            for found in self._existing(service)
            if found.metadata.uid not in handled and found.metadata.labels != labels
        ]

    @staticmethod
    def _replace(
        path: str,
        service: Service,
        owner: Owner,
        found: EndpointSlice,
        group: Group,
        endpoints: Sequence[Endpoint],
        trigger: str,
    ) -> Replace:
        body = slices.body(service, owner.reference(), group, endpoints, trigger)
        meta = body["metadata"]
        meta["name"] = found.metadata.name
        meta["generateName"] = f"{service.metadata.name}-"
        meta["uid"] = found.metadata.uid
        meta["resourceVersion"] = found.metadata.resourceVersion
        return Replace(f"{path}/{found.metadata.name}", body)
