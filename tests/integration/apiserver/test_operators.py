"""Operators written with kopf: what its examples do, as handlers of our own.

A handler on creation, children that go with their owner, changes and deletions with a finalizer, peering by priority,
events of built-in kinds, filters by label and annotation, and an admission webhook that kopf registers itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import httpx
import kopf
import pytest

from component_base.pki import Usage
from tests.integration.apiserver.custom_kinds import DEFINITIONS
from tests.integration.cluster_parts import ApiServer
from tests.integration.ports import free_port

JSON = dict[str, Any]
GROUP = "skiff.example.com"
PATIENCE = 60.0
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


def definition(group: str, plural: str, kind: str, scope: str = "Namespaced") -> JSON:
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    names = {"plural": plural, "singular": kind.lower(), "kind": kind}
    return {
        "metadata": {"name": f"{plural}.{group}"},
        "spec": {"group": group, "scope": scope, "names": names, "versions": [version]},
    }


@pytest.fixture(scope="module")
def kinds(server: ApiServer) -> Iterator[None]:
    """The kind of the examples, and the one by which operators notice each other."""
    made = [definition(GROUP, "boats", "Boat"), definition("kopf.dev", "kopfpeerings", "KopfPeering")]
    with server.http() as api:
        for one in made:
            assert api.post(DEFINITIONS, json=one).status_code == 201
        for one in made:
            spec = one["spec"]
            path = f"/apis/{spec['group']}/v1/{spec['names']['plural']}"
            end = time.monotonic() + PATIENCE
            while api.get(path).status_code != 200:
                assert time.monotonic() < end, path
                time.sleep(0.02)
        yield
        for one in made:
            api.delete(f"{DEFINITIONS}/{one['metadata']['name']}")


class Sea:
    """A namespace where an operator runs: its registry of handlers, and the boats in it."""

    def __init__(self, server: ApiServer, namespace: str) -> None:
        self.namespace, self.server = namespace, server
        self.http = httpx.AsyncClient(base_url=server.url, verify=server.tls(), timeout=30.0)
        self.boats = f"/apis/{GROUP}/v1/namespaces/{namespace}/boats"

    def registry(self) -> kopf.OperatorRegistry:
        registry = kopf.OperatorRegistry()
        pki = self.server.certificates.folder
        info = kopf.ConnectionInfo(
            server=self.server.url,
            ca_path=str(pki / "ca.crt"),
            certificate_path=str(pki / "admin.crt"),
            private_key_path=str(pki / "admin.key"),
            default_namespace=self.namespace,
        )
        kopf.on.login(registry=registry)(lambda **_: info)
        return registry

    @contextlib.asynccontextmanager
    async def operator(
        self, registry: kopf.OperatorRegistry, settings: kopf.OperatorSettings | None = None, **more: Any
    ) -> AsyncIterator[None]:
        ready, stop = asyncio.Event(), asyncio.Event()
        more.setdefault("standalone", True)
        async with asyncio.TaskGroup() as group:
            group.create_task(
                kopf.operator(
                    registry=registry,
                    settings=settings or kopf.OperatorSettings(),
                    namespaces=[self.namespace],
                    ready_flag=ready,
                    stop_flag=stop,
                    **more,
                )
            )
            await asyncio.wait_for(ready.wait(), PATIENCE)
            try:
                yield
            finally:
                stop.set()

    async def launch(self, name: str, spec: JSON | None = None) -> JSON:
        answer = await self.try_to_launch(name, spec or {})
        assert answer.status_code == 201, answer.text
        made: JSON = answer.json()
        return made

    async def try_to_launch(self, name: str, spec: JSON) -> httpx.Response:
        body = {"apiVersion": f"{GROUP}/v1", "kind": "Boat", "metadata": {"name": name}, "spec": spec}
        return await self.http.post(self.boats, json=body)

    async def patch(self, name: str, change: JSON) -> None:
        headers = {"content-type": "application/merge-patch+json"}
        answer = await self.http.patch(f"{self.boats}/{name}", json=change, headers=headers)
        assert answer.status_code == 200, answer.text

    async def until(self, path: str, true: Callable[[JSON], Any]) -> JSON:
        """What the path answers once it is so."""
        end = time.monotonic() + PATIENCE
        while True:
            found: JSON = (await self.http.get(path)).json()
            if true(found):
                return found
            assert time.monotonic() < end, found
            await asyncio.sleep(0.05)


@pytest.fixture
async def sea(server: ApiServer, namespace: str, kinds: None) -> AsyncIterator[Sea]:
    made = Sea(server, namespace)
    yield made
    await made.http.aclose()


async def seen(condition: Callable[[], Any]) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end
        await asyncio.sleep(0.02)


async def test_a_creation_is_handled_and_noted(sea: Sea) -> None:
    registry = sea.registry()

    @kopf.on.create(GROUP, "v1", "boats", id="created", registry=registry)
    def created(spec: kopf.Spec, body: kopf.Body, **_: Any) -> JSON:
        kopf.info(body, reason="Launched", message=f"with {spec['sails']} sails")
        return {"sails": spec["sails"]}

    async with sea.operator(registry):
        await sea.launch("one", {"sails": 3})
        done = await sea.until(f"{sea.boats}/one", lambda boat: boat.get("status", {}).get("created"))
        events = f"/api/v1/namespaces/{sea.namespace}/events"
        noted = await sea.until(events, lambda found: any(e["reason"] == "Launched" for e in found["items"]))
    assert done["status"]["created"] == {"sails": 3}
    assert "kopf.zalando.org/last-handled-configuration" in done["metadata"]["annotations"]
    event = next(e for e in noted["items"] if e["reason"] == "Launched")
    assert (event["type"], event["message"], event["involvedObject"]["kind"]) == ("Normal", "with 3 sails", "Boat")


async def test_changes_and_deletions_are_handled_and_children_adopted(sea: Sea) -> None:
    registry = sea.registry()
    told: list[Any] = []
    maps = f"/api/v1/namespaces/{sea.namespace}/configmaps"

    @kopf.on.create(GROUP, "v1", "boats", registry=registry)
    async def created(name: str, **_: Any) -> None:
        child = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": f"{name}-crew"}, "data": {}}
        kopf.adopt(child)
        assert (await sea.http.post(maps, json=child)).status_code == 201

    @kopf.on.update(GROUP, "v1", "boats", registry=registry)
    def updated(diff: kopf.Diff, **_: Any) -> None:
        told.append([tuple(one) for one in diff])

    @kopf.on.field(GROUP, "v1", "boats", field="spec.sails", registry=registry)
    def sails(old: Any, new: Any, **_: Any) -> None:
        told.append((old, new))

    @kopf.on.delete(GROUP, "v1", "boats", registry=registry)
    def deleted(name: str, **_: Any) -> None:
        told.append(f"{name} is gone")

    async with sea.operator(registry):
        boat = await sea.launch("two", {"sails": 1})
        child = await sea.until(f"{maps}/two-crew", lambda found: found["kind"] == "ConfigMap")
        owner = child["metadata"]["ownerReferences"][0]
        assert (owner["kind"], owner["uid"], owner["controller"]) == ("Boat", boat["metadata"]["uid"], True)
        await seen(lambda: (None, 1) in told)
        held = await sea.until(f"{sea.boats}/two", lambda found: found["metadata"].get("finalizers"))
        assert held["metadata"]["finalizers"] == ["kopf.zalando.org/KopfFinalizerMarker"]
        await sea.until(f"{sea.boats}/two", lambda found: "annotations" in found["metadata"])
        await sea.patch("two", {"spec": {"sails": 2}})
        await seen(lambda: (1, 2) in told and [("change", ("spec", "sails"), 1, 2)] in told)
        assert (await sea.http.delete(f"{sea.boats}/two")).status_code == 200
        await sea.until(f"{sea.boats}/two", lambda found: found.get("code") == 404)
    assert told[-1] == "two is gone"


async def test_the_operator_of_lower_priority_pauses(sea: Sea) -> None:
    peering = {"apiVersion": "kopf.dev/v1", "kind": "KopfPeering", "metadata": {"name": "harbour"}}
    path = f"/apis/kopf.dev/v1/namespaces/{sea.namespace}/kopfpeerings"
    assert (await sea.http.post(path, json=peering)).status_code == 201
    low, high = sea.registry(), sea.registry()
    told: list[tuple[str, str]] = []
    for registry, who in ((low, "low"), (high, "high")):

        @kopf.on.create(GROUP, "v1", "boats", registry=registry)
        def created(name: str, who: str = who, **_: Any) -> None:
            told.append((who, name))

    def operator(registry: kopf.OperatorRegistry, priority: int) -> contextlib.AbstractAsyncContextManager[None]:
        return sea.operator(
            registry, standalone=False, peering_name="harbour", priority=priority, identity=f"operator-{priority}"
        )

    async with operator(low, 1):
        await sea.until(f"{path}/harbour", lambda found: len(found.get("status", {})) == 1)
        await sea.launch("first")
        await seen(lambda: told == [("low", "first")])
        async with operator(high, 100):
            both = await sea.until(f"{path}/harbour", lambda found: len(found["status"]) == 2)
            assert sorted(one["priority"] for one in both["status"].values()) == [1, 100]
            await asyncio.sleep(0.1)
            await sea.launch("second")
            await seen(lambda: ("high", "second") in told)
        await sea.until(f"{path}/harbour", lambda found: len(found["status"]) == 1)


async def test_built_in_kinds_and_filters(sea: Sea) -> None:
    registry = sea.registry()
    events: list[tuple[str | None, str]] = []
    chosen: list[str] = []

    @kopf.on.event("", "v1", "configmaps", registry=registry)
    def happened(event: kopf.RawEvent, name: str, **_: Any) -> None:
        events.append((event["type"], name))

    @kopf.on.create(
        "configmaps",
        labels={"kind": "chosen", "other": kopf.ABSENT},
        annotations={"note": kopf.PRESENT},
        when=lambda body, **_: body.get("data", {}).get("a") == "b",
        registry=registry,
    )
    def created(name: str, **_: Any) -> None:
        chosen.append(name)

    path = f"/api/v1/namespaces/{sea.namespace}/configmaps"
    async with sea.operator(registry):
        for name, labels, annotations, data in (
            ("plain", {}, {}, {}),
            ("other", {"kind": "chosen", "other": "x"}, {"note": "x"}, {"a": "b"}),
            ("unnoted", {"kind": "chosen"}, {}, {"a": "b"}),
            ("empty", {"kind": "chosen"}, {"note": "x"}, {"a": "c"}),
            ("right", {"kind": "chosen"}, {"note": "x"}, {"a": "b"}),
        ):
            metadata = {"name": name, "labels": labels, "annotations": annotations}
            assert (await sea.http.post(path, json={"metadata": metadata, "data": data})).status_code == 201
        await seen(lambda: chosen and "right" in {name for _, name in events})
        await sea.http.delete(f"{path}/plain")
        await seen(lambda: ("DELETED", "plain") in events)
    assert chosen == ["right"]
    assert {"plain", "other", "unnoted", "empty", "right"} <= {name for _, name in events}


async def test_an_admission_webhook_of_an_operator(sea: Sea, server: ApiServer) -> None:
    registry, settings = sea.registry(), kopf.OperatorSettings()
    pki = server.certificates.folder
    server.certificates.authority.issue("webhook", dns=["localhost"], ips=["127.0.0.1"], usages=Usage.SERVER).write(
        pki / "webhook.crt", pki / "webhook.key"
    )
    settings.admission.managed = f"{sea.namespace}.{GROUP}"
    settings.admission.server = kopf.WebhookServer(
        addr="127.0.0.1",
        host="127.0.0.1",
        port=free_port(),
        cafile=pki / "ca.crt",
        certfile=pki / "webhook.crt",
        pkeyfile=pki / "webhook.key",
    )

    @kopf.on.validate(GROUP, "v1", "boats", registry=registry)
    def checked(spec: kopf.Spec, warnings: list[str], **_: Any) -> None:
        warnings.append("mind the weather")
        if spec.get("sails", 0) < 0:
            raise kopf.AdmissionError("sails cannot be negative", code=418)

    @kopf.on.mutate(GROUP, "v1", "boats", registry=registry)
    def changed(patch: kopf.Patch, **_: Any) -> None:
        patch.spec["flag"] = "blue"

    configurations = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations"
    name = settings.admission.managed
    async with sea.operator(registry, settings):
        await sea.until(f"{configurations}/{name}", lambda found: found.get("webhooks"))
        end, tries = time.monotonic() + PATIENCE, 0
        while True:  # until the apiserver asks it
            made = await sea.try_to_launch(f"try-{tries}", {"sails": 1})
            if "mind the weather" in made.headers.get("warning", ""):
                break
            assert time.monotonic() < end, made.text
            tries += 1
            await asyncio.sleep(0.1)
        assert made.json()["spec"] == {"sails": 1, "flag": "blue"}
        refused = await sea.try_to_launch("bad", {"sails": -1})
        assert refused.status_code == 418
        assert "sails cannot be negative" in refused.json()["message"]
    for kind in ("validating", "mutating"):
        await sea.http.delete(f"/apis/admissionregistration.k8s.io/v1/{kind}webhookconfigurations/{name}")
