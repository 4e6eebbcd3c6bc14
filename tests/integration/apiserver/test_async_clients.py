"""kubernetes_asyncio and lightkube: what their examples do."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from kubernetes_asyncio import client, config, watch
from lightkube import ApiError, AsyncClient, Client, KubeConfig
from lightkube.generic_resource import create_namespaced_resource
from lightkube.models.apps_v1 import DeploymentSpec
from lightkube.models.core_v1 import Container, PodSpec, PodTemplateSpec
from lightkube.models.meta_v1 import LabelSelector, ObjectMeta
from lightkube.resources.apps_v1 import Deployment
from lightkube.resources.core_v1 import ConfigMap, Namespace
from lightkube.types import CascadeType, PatchType

from tests.integration.cluster_parts import ApiServer

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


async def test_kubernetes_asyncio(server: ApiServer, namespace: str) -> None:
    settings: Any = client.Configuration()
    await config.load_kube_config(config_file=str(server.kubeconfig()), client_configuration=settings)
    async with client.ApiClient(settings) as connection:
        core: Any = client.CoreV1Api(connection)
        body: Any = client.V1ConfigMap(metadata=client.V1ObjectMeta(name="c", labels={"a": "b"}), data={"a": "1"})
        made = await core.create_namespaced_config_map(namespace, body)
        seen: list[tuple[str, str]] = []
        watched = watch.Watch().stream(
            core.list_namespaced_config_map,
            namespace,
            resource_version=made.metadata.resource_version,
            timeout_seconds=60,
        )

        async def look() -> None:
            async for event in watched:
                seen.append((event["type"], event["object"].metadata.name))
                if event["type"] == "DELETED":
                    return

        async with asyncio.TaskGroup() as group:
            group.create_task(look())
            await core.patch_namespaced_config_map("c", namespace, {"data": {"a": "2"}})
            found = await core.list_namespaced_config_map(namespace, label_selector="a=b")
            assert [one.data for one in found.items] == [{"a": "2"}]
            assert (await core.read_namespaced_config_map("c", namespace)).data == {"a": "2"}
            await core.delete_namespaced_config_map("c", namespace)
        assert seen == [("MODIFIED", "c"), ("DELETED", "c")]
        with pytest.raises(client.ApiException) as missing:
            await core.read_namespaced_config_map("c", namespace)
        assert missing.value.status == 404
        access: Any = client.AuthorizationV1Api(connection)
        review = {"spec": {"resourceAttributes": {"verb": "create", "resource": "pods", "namespace": namespace}}}
        assert (await access.create_self_subject_access_review(review)).status.allowed


def lightkube_config(server: ApiServer) -> Any:
    return KubeConfig.from_file(str(server.kubeconfig())).get()


def deployment(namespace: str) -> Any:
    template = PodTemplateSpec(
        metadata=ObjectMeta(labels={"app": "web"}), spec=PodSpec(containers=[Container(name="c", image="nginx")])
    )
    spec = DeploymentSpec(replicas=1, selector=LabelSelector(matchLabels={"app": "web"}), template=template)
    return Deployment(metadata=ObjectMeta(name="web", namespace=namespace), spec=spec)


def test_lightkube(server: ApiServer, namespace: str) -> None:
    kube: Any = Client(config=lightkube_config(server), namespace=namespace, field_manager="lightkube")
    made = kube.create(deployment(namespace))
    assert (made.spec.replicas, made.spec.strategy.type) == (1, "RollingUpdate")
    scale = kube.get(Deployment.Scale, "web")
    scale.spec.replicas = 3
    assert kube.replace(scale, "web").spec.replicas == 3
    patched = kube.patch(
        Deployment, "web", {"spec": {"template": {"spec": {"containers": [{"name": "d", "image": "x"}]}}}}
    )
    assert sorted(one.name for one in patched.spec.template.spec.containers) == ["c", "d"]
    change = {"metadata": {"annotations": {"a": "b"}}}
    assert kube.patch(Deployment, "web", change, patch_type=PatchType.MERGE).metadata.annotations == {"a": "b"}
    for number in range(5):
        kube.create(ConfigMap(metadata=ObjectMeta(name=f"c{number}", labels={"x": str(number % 2)}), data={"a": "b"}))
    assert [one.metadata.name for one in kube.list(ConfigMap, labels={"x": "1"}, chunk_size=1)] == ["c1", "c3"]
    assert len(list(kube.list(ConfigMap, fields={"metadata.name": "c2"}))) == 1
    assert namespace in {one.metadata.name for one in kube.list(Namespace)}
    applied = kube.apply(ConfigMap(metadata=ObjectMeta(name="applied", namespace=namespace), data={"a": "1"}))
    assert applied.metadata.managedFields[0].operation == "Apply"
    with pytest.raises(ApiError) as conflict:
        kube.apply(
            ConfigMap(metadata=ObjectMeta(name="applied", namespace=namespace), data={"a": "2"}), field_manager="other"
        )
    assert conflict.value.status.code == 409
    lease: Any = create_namespaced_resource("coordination.k8s.io", "v1", "Lease", "leases")
    kube.create(lease(metadata={"name": "generic"}, spec={"holderIdentity": "me"}))
    assert kube.get(lease, "generic").spec["holderIdentity"] == "me"
    kube.delete(Deployment, "web", cascade=CascadeType.BACKGROUND)
    kube.deletecollection(ConfigMap)
    with pytest.raises(ApiError) as missing:
        kube.get(ConfigMap, "c1")
    assert missing.value.status.reason == "NotFound"


async def test_lightkube_watches_and_waits(server: ApiServer, namespace: str) -> None:
    kube: Any = AsyncClient(config=lightkube_config(server), namespace=namespace)
    await kube.create(deployment(namespace))

    async def progress() -> None:
        status = {"conditions": [{"type": "Available", "status": "True"}]}
        await kube.patch(Deployment.Status, "web", {"status": status}, patch_type=PatchType.MERGE)

    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(kube.wait(Deployment, "web", for_conditions=["Available"]))
        await progress()
    assert waiting.result().status.conditions[0].type == "Available"
    async for event, one in kube.watch(Deployment):
        assert (event, one.metadata.name) == ("ADDED", "web")
        break
    await kube.close()
