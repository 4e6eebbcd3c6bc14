"""What requests ask for: paths, representations, deletions, scale, bindings; all pure."""

from __future__ import annotations

from typing import Any

import pytest

from apimachinery import errors
from apimachinery.errors import StatusError
from apimachinery.resources import require
from apiserver.discovery import documents
from apiserver.discovery.serve import aggregated_version
from apiserver.endpoints.accept import PROTOBUF, YAML, Representation, negotiate
from apiserver.endpoints.binding import bound
from apiserver.endpoints.exchange import Exchange
from apiserver.endpoints.path import Target, parse
from apiserver.endpoints.scale import scale_of
from apiserver.openapi import documents as openapi
from apiserver.openapi import wire
from apiserver.registry import deletion
from apiserver.registry.catalog import Catalog

PODS, CONFIG_MAPS, NAMESPACES = require("v1", "pods"), require("v1", "configmaps"), require("v1", "namespaces")


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        ("GET", "/api/v1/pods", ("list", "", "v1", "", "pods", "", "")),
        ("GET", "/api/v1/namespaces/n/pods/p", ("get", "", "v1", "n", "pods", "p", "")),
        ("POST", "/api/v1/namespaces/n/pods/p/binding", ("create", "", "v1", "n", "pods", "p", "binding")),
        ("GET", "/api/v1/namespaces/n", ("get", "", "v1", "n", "namespaces", "n", "")),
        ("PUT", "/api/v1/namespaces/n/finalize", ("update", "", "v1", "n", "namespaces", "n", "finalize")),
        (
            "DELETE",
            "/apis/apps/v1/namespaces/n/deployments",
            ("deletecollection", "apps", "v1", "n", "deployments", "", ""),
        ),
        ("PATCH", "/apis/apps/v1/namespaces/n/deployments/d", ("patch", "apps", "v1", "n", "deployments", "d", "")),
        ("GET", "/api/v1/watch/namespaces/n/pods", ("watch", "", "v1", "n", "pods", "", "")),
    ],
)
def test_paths_are_taken_apart(method: str, path: str, expected: tuple[str, ...]) -> None:
    target = parse(method, path, {})
    found = (target.verb, target.group, target.version, target.namespace, target.resource, target.name)
    assert (*found, target.subresource) == expected


def test_plain_paths_are_no_resources() -> None:
    assert parse("GET", "/healthz", {}) == Target("/healthz", "get")
    assert not parse("GET", "/apis/apps/v1", {}).is_resource
    assert parse("GET", "/api/v1/pods", {"watch": "true"}).verb == "watch"
    assert parse("GET", "/api/v1/pods", {"watch": "0"}).verb == "list"
    assert parse("GET", "/api/v1/nodes/n/proxy/metrics/cadvisor", {}).rest == "metrics/cadvisor"
    assert parse("GET", "/api/v1/nodes", {"fieldSelector": "metadata.name=n1"}).name == "n1"


def test_accept_headers() -> None:
    table = "application/json;as=Table;v={};g=meta.k8s.io"
    kubectl = f"{table.format('v1')},{table.format('v1beta1')},application/json"
    assert negotiate(kubectl).transform == "Table"
    assert negotiate("").plain
    assert negotiate("*/*").plain
    assert negotiate("application/yaml").media_type == YAML
    assert negotiate("application/vnd.kubernetes.protobuf,application/json").plain
    assert negotiate("application/json;as=Unknown;v=v1;g=meta.k8s.io,application/json").plain
    partial = "application/vnd.kubernetes.protobuf;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
    assert negotiate(partial) == Representation(PROTOBUF, "PartialObjectMetadata", "v1")
    assert negotiate(f"{partial},application/json").plain
    with pytest.raises(StatusError) as refused:
        negotiate("text/html")
    assert refused.value.code == 406


def test_what_has_no_columns_is_not_shown_as_a_table() -> None:
    table = "application/json;as=Table;v=v1;g=meta.k8s.io"
    assert negotiate(f"{table},application/json", tables=False).plain
    with pytest.raises(StatusError) as refused:
        negotiate(table, tables=False)
    assert refused.value.code == 406


@pytest.mark.parametrize(("agent", "indented"), [("curl/8.5", True), ("kubectl/v1.33.0 (linux/amd64)", False)])
async def test_refusals_are_indented_for_people(agent: str, indented: bool) -> None:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        raise AssertionError("a refusal reads no body")

    scope = {"method": "GET", "path": "/api", "query_string": b"", "headers": [(b"user-agent", agent.encode())]}
    await Exchange(scope, receive, send).refuse(errors.unauthorized())
    assert sent[0]["status"] == 401
    assert (b'\n  "code": 401' in sent[1]["body"]) is indented


def test_discovery_forms() -> None:
    both = (
        "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,"
        "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,application/json"
    )
    assert aggregated_version(both) == "v2"
    assert aggregated_version("application/json") == ""
    catalog = Catalog()
    groups = documents.aggregated(catalog, catalog.groups(), None, False, "v2")["items"]
    assert groups[0]["metadata"]["name"] == "apiregistration.k8s.io"
    assert all(version["resources"] for group in groups for version in group["versions"])
    core = documents.resource_list(catalog, "", "v1")
    assert core is not None
    names = [one["name"] for one in core["resources"]]
    assert "pods/eviction" in names
    assert names.index("pods") < names.index("pods/attach")
    assert documents.resource_list(catalog, "apps", "v7") is None


def pod(node: str = "n1", **metadata: Any) -> dict[str, Any]:
    return {"metadata": {"name": "p", "uid": "u", **metadata}, "spec": {"nodeName": node}, "status": {}}


def decide(obj: dict[str, Any], now: float = 1000.0, **options: Any) -> deletion.Decision:
    return deletion.decide(PODS, obj, deletion.Options(**options), now)


def test_pods_wait_for_their_kubelet() -> None:
    decision = decide(pod())
    assert not decision.remove
    assert decision.changed is not None
    assert decision.changed["metadata"]["deletionGracePeriodSeconds"] == 30
    assert decision.changed["metadata"]["deletionTimestamp"] == "1970-01-01T00:17:10Z"
    assert decide(pod(""), grace=30).remove
    assert decide(pod() | {"status": {"phase": "Failed"}}).remove
    assert decide(pod(), grace=0).remove


def test_grace_periods_only_shrink() -> None:
    first = decide(pod(), grace=60).changed
    assert first is not None
    assert decide(first, grace=90) == deletion.Decision(False)
    shorter = decide(first, 1010.0, grace=10).changed
    assert shorter is not None
    assert shorter["metadata"]["deletionTimestamp"] == "1970-01-01T00:16:50Z"
    assert decide(first, grace=0).remove


def test_finalizers_hold_objects() -> None:
    obj = {"metadata": {"name": "c", "finalizers": ["x/y"]}}
    marked = deletion.decide(CONFIG_MAPS, obj, deletion.Options(), 5.0)
    assert marked.changed is not None
    assert marked.changed["metadata"]["deletionGracePeriodSeconds"] == 0
    assert deletion.decide(CONFIG_MAPS, marked.changed, deletion.Options(), 6.0) == deletion.Decision(False)
    marked.changed["metadata"].pop("finalizers")
    assert deletion.finished(CONFIG_MAPS, marked.changed)
    assert not deletion.finished(CONFIG_MAPS, {"metadata": {"name": "c"}})


def test_namespaces_end_with_their_content() -> None:
    obj = {"metadata": {"name": "n"}, "spec": {"finalizers": ["kubernetes"]}, "status": {"phase": "Active"}}
    marked = deletion.decide(NAMESPACES, obj, deletion.Options(), 5.0).changed
    assert marked is not None
    assert marked["status"]["phase"] == "Terminating"
    assert not deletion.finished(NAMESPACES, marked)
    assert deletion.finished(NAMESPACES, {**marked, "spec": {"finalizers": []}})


def test_policies_become_finalizers() -> None:
    obj = {"metadata": {"name": "c"}}
    for policy, finalizer in (("Orphan", "orphan"), ("Foreground", "foregroundDeletion")):
        changed = deletion.decide(CONFIG_MAPS, obj, deletion.Options(policy=policy), 5.0).changed
        assert changed is not None
        assert changed["metadata"]["finalizers"] == [finalizer]
    assert deletion.decide(CONFIG_MAPS, obj, deletion.Options(policy="Background"), 5.0).remove
    controllers = require("v1", "replicationcontrollers")
    kept = deletion.decide(controllers, obj, deletion.Options(), 5.0).changed
    assert kept is not None
    assert kept["metadata"]["finalizers"] == ["orphan"]
    with pytest.raises(StatusError):
        deletion.parse_options({"propagationPolicy": "Sideways"})
    with pytest.raises(StatusError):
        deletion.parse_options({"propagationPolicy": "Orphan", "orphanDependents": True})


def test_a_binding_is_checked_against_the_pod() -> None:
    binding = {"metadata": {"annotations": {"a": "1"}}, "target": {"name": "n2"}}
    done = bound(PODS, pod("", generation=1), binding, "now")
    assert done["spec"]["nodeName"] == "n2"
    assert done["metadata"]["annotations"] == {"a": "1"}
    assert done["metadata"]["generation"] == 1  # as upstream: the scheduler is no author
    for impossible in (pod("n1"), pod("", deletionTimestamp="x")):
        with pytest.raises(StatusError) as refused:
            bound(PODS, impossible, binding, "now")
        assert refused.value.code == 409


def test_scale_of_old_and_new_selectors() -> None:
    old = {"metadata": {"name": "r"}, "spec": {"replicas": 2, "selector": {"b": "1", "a": "2"}}, "status": {}}
    assert scale_of(require("apps/v1", "deployments"), old)["status"] == {"replicas": 0, "selector": "a=2,b=1"}
    new = {"metadata": {"name": "r"}, "spec": {"selector": {"matchLabels": {"a": "1"}}}, "status": {"replicas": 3}}
    assert scale_of(require("apps/v1", "deployments"), new)["status"] == {"replicas": 3, "selector": "a=1"}
    assert scale_of(require("apps/v1", "deployments"), new)["spec"] == {}


def test_openapi_documents_hold_what_clients_look_for() -> None:
    catalog = Catalog()
    apps = openapi.v3(catalog, "apps", "v1", "v1")
    patch = apps["paths"]["/apis/apps/v1/namespaces/{namespace}/deployments/{name}"]["patch"]
    assert "fieldValidation" in {one["name"] for one in patch["parameters"]}
    assert patch["x-kubernetes-group-version-kind"] == {"group": "apps", "kind": "Deployment", "version": "v1"}
    schemas = apps["components"]["schemas"]
    assert schemas["io.k8s.api.apps.v1.Deployment"]["x-kubernetes-group-version-kind"]
    references = {ref for ref in _references(apps) if ref.startswith("#/components/schemas/")}
    assert {ref.rpartition("/")[2] for ref in references} <= set(schemas)
    crds = openapi.v3(catalog, "apiextensions.k8s.io", "v1", "v1")  # one of its properties is called $ref
    assert any(name.endswith(".JSONSchemaProps") for name in crds["components"]["schemas"])
    whole = openapi.v2(catalog, "v1")
    assert "null" not in str(whole["definitions"]["io.k8s.api.core.v1.PodSpec"].get("type"))
    assert len(wire.document(whole)) > 1_000_000


def _references(value: Any) -> set[str]:
    if isinstance(value, dict):
        own = {value["$ref"]} if isinstance(value.get("$ref"), str) else set()
        return own.union(*map(_references, value.values()))
    return set().union(*map(_references, value)) if isinstance(value, list) else set()
