"""The node lifecycle controller: silent nodes become Unknown, conditions become taints, pods there stop being ready."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from apimachinery import timestamps
from component_base.clock import Clock
from controller_manager.node import health
from controller_manager.node.health import Heard
from controller_manager.views import Condition, Lease, Node, Pod, condition
from kubeclient.informer import Informers
from kubeclient.plan import NOTHING, Action, Event, Patch, Plan
from kubeclient.rest import MERGE, STRATEGIC

LEASES = "kube-node-lease"


class NodeLifecycleController:
    name = "nodelifecycle"

    def __init__(self, informers: Informers, clock: Clock, grace: float = 50.0, startup_grace: float = 60.0) -> None:
        """Seconds without a sign of life until a node counts as unreachable; a new one may take longer."""
        self._clock = clock
        self._grace = grace
        self._startup_grace = startup_grace
        self._nodes = informers.of("/api/v1/nodes", Node)
        self._leases = informers.of("/apis/coordination.k8s.io/v1/leases", Lease)
        self._pods = informers.of("/api/v1/pods", Pod)
        self._pods.add_index("node", lambda pod: [pod.spec.nodeName] if pod.spec.nodeName else [])
        self._heard: dict[str, Heard] = {}
        self._registered: dict[str, dict[str, Any]] = {}
        """Node -> what its events refer to."""

    def watch(self, enqueue: Callable[[str], None]) -> None:
        self._nodes.add_key_handler(enqueue)

        def on_lease(old: Lease | None, new: Lease | None) -> None:
            if new is None or new.metadata.namespace != LEASES:
                return
            name = new.metadata.name
            heard = self._heard.get(name)
            if heard is None or heard.renewed != new.spec.renewTime:
                status = heard.status if heard is not None else ()
                self._heard[name] = Heard(new.spec.renewTime, status, self._clock.monotonic())
                node = self._nodes.get(name)
                if node is not None and self._is_silenced(node):
                    enqueue(name)

        self._leases.add_handler(on_lease)

    @staticmethod
    def _is_silenced(node: Node) -> bool:
        ready = condition(node.status.conditions, "Ready")
        return ready is not None and ready.status == "Unknown"

    def reconcile(self, key: str, now: float) -> Plan:
        node = self._nodes.get(key)
        if node is None:
            self._heard.pop(key, None)
            gone = self._registered.pop(key, None)
            text = f"Node {key} event: Removing Node {key} from Controller"
            return NOTHING if gone is None else Plan([[Event(gone, "Normal", "RemovingNode", text)]])
        left = self._time_left(node)
        changed: list[dict[str, Any]] = []
        if left <= 0:
            changed = health.conditions_when_silent(node, now)
        conditions = _merged(node.status.conditions, changed)
        path = f"/api/v1/nodes/{key}"
        batch: list[Action] = self._greeting(node)
        if changed:
            batch.append(Patch(f"{path}/status", {"status": {"conditions": changed}}, STRATEGIC))
            text = f"Node {key} status is now: NodeNotReady"
            batch.append(Event(_reference(node), "Normal", "NodeNotReady", text))
        taints = health.wanted_taints(node, conditions, now)
        if _keys(taints) != _keys(node.spec.taints):
            meta = {"resourceVersion": node.metadata.resourceVersion} if not changed else {}
            body = {"metadata": meta, "spec": {"taints": health.taints_json(taints) or None}}
            batch.append(Patch(path, body, MERGE))
        ready = next((c.status for c in conditions if c.type == "Ready"), None)
        if ready != "True":
            batch += self._unready_pods(key, now)
        # While it is silent nothing needs a timer: a sign of life brings the key back.
        again = left + 0.1 if left > 0 else None
        return Plan([[action] for action in batch], again)

    def _time_left(self, node: Node) -> float:
        """Until the node counts as unreachable; not positive once it does."""
        name, signs = node.metadata.name, health.signs(node)
        now = self._clock.monotonic()
        heard = self._heard.get(name)
        if heard is None:
            heard = self._heard[name] = Heard(None, signs, now)
        elif heard.status != signs:
            if heard.status or not self._is_silenced(node):
                heard.at = now
            heard.status = signs
        grace = self._grace if condition(node.status.conditions, "Ready") is not None else self._startup_grace
        return heard.at + grace - now

    def _unready_pods(self, node: str, now: float) -> list[Action]:
        """Endpoints must not keep addresses that nobody vouches for."""
        actions: list[Action] = []
        for pod in self._pods.indexed("node", node):
            ready = condition(pod.status.conditions, "Ready")
            if pod.is_terminal or ready is None or ready.status != "True":
                continue
            change = {"type": "Ready", "status": "False", "lastTransitionTime": timestamps.format(now)}
            path = f"/api/v1/namespaces/{pod.metadata.namespace}/pods/{pod.metadata.name}/status"
            body = {"metadata": {"uid": pod.metadata.uid}, "status": {"conditions": [change]}}
            actions.append(Patch(path, body, STRATEGIC))
        return actions

    def _greeting(self, node: Node) -> list[Action]:
        """Once for each node, after each start of this controller, as upstream does."""
        name, reference = node.metadata.name, _reference(node)
        if self._registered.get(name) == reference:
            return []
        self._registered[name] = reference
        return [
            Event(reference, "Normal", "RegisteredNode", f"Node {name} event: Registered Node {name} in Controller")
        ]


def _reference(node: Node) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Node", "name": node.metadata.name, "uid": node.metadata.uid}


def _merged(conditions: Sequence[Condition], changed: list[dict[str, Any]]) -> list[Condition]:
    new = {c["type"]: msgspec.convert(c, Condition) for c in changed}
    return [new.pop(c.type, c) for c in conditions] + list(new.values())


def _keys(taints: Sequence[Any]) -> set[tuple[str, str, str]]:
    return {(t.key, t.effect, t.value) for t in taints}
