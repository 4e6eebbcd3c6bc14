"""The table of built-in resources keeps upstream's names, kinds, verbs and storage keys."""

from __future__ import annotations

from apimachinery import resources
from apimachinery.gvk import split_api_version, version_rank
from apimachinery.resources import find, find_kind, require


def test_paths_and_keys() -> None:
    pods, nodes = require("v1", "pods"), require("v1", "nodes")
    assert pods.path() == "/api/v1/pods"
    assert pods.path("a", "b", "status") == "/api/v1/namespaces/a/pods/b/status"
    assert nodes.path("ignored", "n") == "/api/v1/nodes/n"
    assert require("apps/v1", "deployments").path("a") == "/apis/apps/v1/namespaces/a/deployments"
    assert pods.key("a", "b") == "/registry/pods/a/b"
    assert pods.key() == "/registry/pods/"
    assert nodes.key("", "n") == "/registry/minions/n"
    assert require("v1", "services").key("a", "b") == "/registry/services/specs/a/b"
    assert require("v1", "endpoints").key("a", "b") == "/registry/services/endpoints/a/b"
    assert require("networking.k8s.io/v1", "ingresses").key("a", "") == "/registry/ingress/a/"
    assert require("apiregistration.k8s.io/v1", "apiservices").key("", "v1.apps") == (
        "/registry/apiregistration.k8s.io/apiservices/v1.apps"
    )


def test_versions_of_one_object_share_storage() -> None:
    core, new = require("v1", "events"), require("events.k8s.io/v1", "events")
    assert core.etcd_prefix == new.etcd_prefix
    assert (new.storage_group, new.storage_version, new.storage_api_version) == ("", "v1", "v1")
    assert {require(f"autoscaling/{v}", "horizontalpodautoscalers").storage_version for v in ("v1", "v2")} == {"v2"}
    assert core.storage_version_hash == new.storage_version_hash == "r2yiGXH7wu8="


def test_subresources_name_their_kinds() -> None:
    pods = require("v1", "pods")
    eviction = pods.subresource("eviction")
    assert eviction is not None
    assert (eviction.kind, eviction.api_version, eviction.verbs) == ("Eviction", "policy/v1", ("create",))
    resize = pods.subresource("resize")
    assert resize is not None
    assert (resize.kind, resize.api_version) == ("Pod", "v1")
    assert pods.subresource("nothing") is None


def test_lookup_by_plural_and_kind_agree() -> None:
    for info in resources.RESOURCES:
        assert find(info.group, info.version, info.plural) is info
        assert find_kind(info.group, info.version, info.kind) is info
        assert info.version in resources.versions(info.group)
    assert find("apps", "v1beta1", "deployments") is None


def test_versions_are_ranked_as_discovery_does() -> None:
    names = ["foo1", "v1", "v2beta1", "v1alpha1", "v10", "v2", "foo10", "v3beta2"]
    assert sorted(names, key=version_rank) == ["v10", "v2", "v1", "v3beta2", "v2beta1", "v1alpha1", "foo1", "foo10"]
    assert split_api_version("apps/v1") == ("apps", "v1")
    assert split_api_version("v1") == ("", "v1")
