"""Objects that plans are carried out on, step by step, until nothing is left to do."""

import json
from typing import Any

from kubeclient.plan import Create, Delete, Patch, Plan, Replace, collection_and_key
from tests.unit.controller_manager.caches import NOW, THEN, Caches, actions, events

PODS = "/api/v1/pods"


class World:
    """A subclass sets `controller` before the first step."""

    controller: Any

    def __init__(self) -> None:
        self.caches = Caches()
        self.now = NOW
        self.objects: dict[tuple[str, str], dict[str, Any]] = {}
        self.events: list[tuple[str, str]] = []
        self.made: list[str] = []
        self._count = 0

    def put(self, collection: str, body: dict[str, Any]) -> dict[str, Any]:
        stored = self.caches.put(collection, body)
        self.objects[collection, body["metadata"]["name"]] = stored
        return stored

    def drop(self, collection: str, name: str) -> None:
        self.caches.drop(collection, self.objects.pop((collection, name)))

    def change(self, collection: str, name: str, **spec: Any) -> None:
        current = self.objects[collection, name]
        meta = {**current["metadata"], "generation": current["metadata"].get("generation", 0) + 1}
        self.put(collection, {**current, "metadata": meta, "spec": {**current["spec"], **spec}})

    def all(self, collection: str) -> dict[str, dict[str, Any]]:
        return {name: body for (at, name), body in self.objects.items() if at == collection}

    @property
    def pods(self) -> dict[str, dict[str, Any]]:
        return self.all(PODS)

    def status(self, collection: str, name: str) -> dict[str, Any]:
        found: dict[str, Any] = self.objects[collection, name].get("status") or {}
        return found

    def step(self, key: str) -> Plan:
        plan: Plan = self.controller.reconcile(key, self.now)
        self.events += events(plan)
        for action in actions(plan):
            if isinstance(action, Create):
                self.create(action)
            elif isinstance(action, Patch):
                self.patch(action)
            elif isinstance(action, Replace):
                collection, _ = collection_and_key(action.path)
                self.put(collection, action.body)
            elif isinstance(action, Delete):
                self.delete(action)
        return plan

    def create(self, action: Create) -> None:
        body = json.loads(json.dumps(action.body))
        if "name" not in body["metadata"]:
            self._count += 1
            body["metadata"]["name"] = f"{body['metadata']['generateName']}{self._count}"
        body["metadata"].setdefault("generation", 1)
        collection, _ = collection_and_key(action.path)
        if action.exists_is_fine and (collection, body["metadata"]["name"]) in self.objects:
            return
        self.made.append(body["metadata"]["name"])
        self.put(collection, body)

    def patch(self, action: Patch) -> None:
        collection, key = collection_and_key(action.path)
        name = key.rpartition("/")[2]
        if (collection, name) not in self.objects:
            return
        self.put(collection, merge(self.objects[collection, name], action.body))

    def delete(self, action: Delete) -> None:
        """At once, but for what has finalizers."""
        collection, key = collection_and_key(action.path)
        name = key.rpartition("/")[2]
        body = self.objects.get((collection, name))
        if body is None:
            return
        if body["metadata"].get("finalizers"):
            self.put(collection, {**body, "metadata": {**body["metadata"], "deletionTimestamp": THEN}})
        else:
            self.drop(collection, name)

    def run_pods(self, ready: bool = True) -> None:
        """What the scheduler and a kubelet would do for pods that are new."""
        for body in list(self.pods.values()):
            if (body.get("status") or {}).get("phase", "Pending") == "Pending":
                self.finish(body["metadata"]["name"], "Running", ready)

    def finish(self, name: str, phase: str, ready: bool = False, **status: Any) -> None:
        body = self.objects[PODS, name]
        mark = {"type": "Ready", "status": str(ready), "lastTransitionTime": THEN}
        self.put(PODS, {**body, "status": {"phase": phase, "conditions": [mark], **status}})

    def settle(self, key: str, run: bool = True) -> None:
        for _ in range(60):
            if run:
                self.run_pods()
            plan = self.step(key)
            if plan.is_empty:
                return
        raise AssertionError(f"it does not come to rest: {actions(plan)}")


def merge(target: Any, change: Any) -> Any:
    """RFC 7386; of a strategic patch no more than lists that are replaced or deleted from."""
    if not isinstance(change, dict):
        return change
    result = dict(target) if isinstance(target, dict) else {}
    for key, value in change.items():
        if key.startswith("$deleteFromPrimitiveList/"):
            field = key.partition("/")[2]
            result[field] = [item for item in result.get(field, []) if item not in value]
        elif value is None:
            result.pop(key, None)
        else:
            result[key] = merge(result.get(key), value)
    return result
