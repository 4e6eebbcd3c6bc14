"""Static pods and their mirrors."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from component_base.clock import ManualClock
from component_base.tasks import spawn
from kubelet.pod import MIRROR_ANNOTATION, Pod, from_object
from kubelet.sync.static import ManifestError, StaticPods, static_pod
from tests.unit.kubelet.fake_api import FakeApi

MANIFEST = "{kind: Pod, apiVersion: v1, metadata: {name: web}, spec: {containers: [{name: a, image: 'a:1'}]}}"
MIRROR = "/api/v1/namespaces/default/pods/web-node-1"


def test_a_manifest_becomes_a_pod_of_this_node() -> None:
    pod = from_object(static_pod(MANIFEST, "/m/web.yaml", "node-1", 0.0))
    assert (pod.metadata.name, pod.metadata.namespace, pod.spec.node_name) == ("web-node-1", "default", "node-1")
    assert pod.is_static
    assert pod.spec.termination_grace_period_seconds == 30
    assert pod.spec.containers[0].image_pull_policy == "IfNotPresent"
    again = static_pod(MANIFEST, "/m/web.yaml", "node-1", 99.0)
    assert again["metadata"]["uid"] == pod.uid
    other = static_pod(MANIFEST.replace("a:1", "a:2"), "/m/web.yaml", "node-1", 0.0)
    assert other["metadata"]["uid"] != pod.uid


@pytest.mark.parametrize("text", ["{", "[]", "{kind: Service, metadata: {name: x}}", "{kind: Pod}"])
def test_what_is_no_pod_is_named(text: str) -> None:
    with pytest.raises(ManifestError, match=r"/m/bad\.yaml"):
        static_pod(text, "/m/bad.yaml", "node-1", 0.0)


def hash_of(api: FakeApi) -> str:
    """Of the mirror, "" when there is none or it is being deleted."""
    meta = api.objects.get(MIRROR, {"metadata": {}})["metadata"]
    return "" if "deletionTimestamp" in meta else str(meta.get("annotations", {}).get(MIRROR_ANNOTATION, ""))


async def test_mirrors_follow_the_files(tmp_path: Path) -> None:
    api = FakeApi()
    running: dict[str, Pod] = {}

    def change(uid: str, pod: Pod | None) -> None:
        if pod is None:
            del running[uid]
        else:
            running[uid] = pod

    def mirrors() -> list[Pod]:
        return [from_object(body) for path, body in api.objects.items() if "/pods/" in path]

    async def until(condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(30):
            while not condition():
                static.mirrors_changed()
                await asyncio.sleep(0.005)

    static = StaticPods(
        folder=tmp_path,
        node="node-1",
        api=api,
        clock=ManualClock(),
        changed=change,
        mirrors=mirrors,
        node_uid=lambda: "node-uid",
    )
    (tmp_path / "web.yaml").write_text(MANIFEST)
    (tmp_path / ".hidden.yaml").write_text("{")
    (tmp_path / "bad.yaml").write_text("{")
    task = spawn(static.run(), "static pods")
    await until(lambda: MIRROR in api.objects)
    (uid,) = running
    assert api.objects[MIRROR]["metadata"]["annotations"][MIRROR_ANNOTATION] == uid
    api.delete_pod(MIRROR, grace=30)
    await until(lambda: hash_of(api) == uid)
    (tmp_path / "web.yaml").write_text(MANIFEST.replace("a:1", "a:2"))
    await until(lambda: uid not in running and len(running) == 1)
    (new,) = running
    await until(lambda: hash_of(api) == new)
    (tmp_path / "web.yaml").unlink()
    await until(lambda: not running and MIRROR not in api.objects)
    task.cancel()
