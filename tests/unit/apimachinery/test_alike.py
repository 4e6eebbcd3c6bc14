"""What is remembered of objects of one series must never be told of another."""

from __future__ import annotations

from typing import Any

from apimachinery import defaults, resources
from apimachinery.alike import Remembered, content
from apimachinery.fields import Path
from apimachinery.patch import managed
from apimachinery.validation.podspec import pod_spec

PODS = resources.require("v1", "pods")
MAPS = resources.require("v1", "configmaps")


def spec(**more: Any) -> dict[str, Any]:
    pod: dict[str, Any] = {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i"}], **more}}
    defaults.apply(PODS, pod)
    made: dict[str, Any] = pod["spec"]
    return made


def complaints(one: dict[str, Any], meta: dict[str, Any] | None = None) -> list[str]:
    return [str(error) for error in pod_spec(one, Path("spec"), meta=meta)]


def test_a_valid_spec_stays_valid_and_a_wrong_one_wrong() -> None:
    for _ in range(3):
        assert complaints(spec(), {"name": "p"}) == []
        assert complaints(spec(dnsPolicy="Nowhere"), {"name": "p"}) != []


def test_a_template_is_not_judged_by_a_pod() -> None:
    claims = [{"name": "a", "resourceClaimName": "x"}]
    assert complaints(spec(resourceClaims=claims), {"name": "p"}) == []
    mirror = {"name": "p", "annotations": {"kubernetes.io/config.mirror": "x"}}
    assert complaints(spec(resourceClaims=claims), mirror) != []


def test_the_name_that_admission_makes_up_does_not_matter_but_two_equal_ones_do() -> None:
    def volumes(*names: str) -> dict[str, Any]:
        return spec(volumes=[{"name": f"kube-api-access-{name}", "emptyDir": {}} for name in names])

    for name in ("aaaaa", "bbbbb"):
        assert complaints(volumes(name), {"name": "p"}) == []
    assert complaints(volumes("aaaaa", "bbbbb"), {"name": "p"}) == []
    assert complaints(volumes("aaaaa", "aaaaa"), {"name": "p"}) != []


def test_the_pods_name_counts_where_claims_are_named_after_it() -> None:
    claim = {
        "volumeClaimTemplate": {
            "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
        }
    }
    made = spec(volumes=[{"name": "v", "ephemeral": claim}])
    assert complaints(made, {"name": "p"}) == []
    assert complaints(made, {"name": "p" * 253}) != []


def owned(info: Any, obj: dict[str, Any]) -> dict[str, Any]:
    managed.update(info, None, obj, "me", "2026-01-01T00:00:00Z")
    fields: dict[str, Any] = obj["metadata"]["managedFields"][0]["fieldsV1"]
    return fields


def test_owned_fields_follow_the_keys_and_not_the_texts_of_maps() -> None:
    def made(**data: str) -> dict[str, Any]:
        return owned(MAPS, {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "m"}, "data": dict(data)})

    assert made(a="1") == made(a="2") == {"f:data": {".": {}, "f:a": {}}}
    assert made(b="1") == {"f:data": {".": {}, "f:b": {}}}
    assert made(a="1", b="1") == {"f:data": {".": {}, "f:a": {}, "f:b": {}}}


def test_owned_fields_of_lists_follow_their_keys() -> None:
    def made(name: str) -> dict[str, Any]:
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "m", "labels": {name: ""}}, "spec": {}}
        pod["spec"] = {"containers": [{"name": name, "image": "i"}]}
        return owned(PODS, pod)

    for name in ("a", "b", "a"):
        fields = made(name)
        assert list(fields["f:spec"]["f:containers"]) == [f'k:{{"name":"{name}"}}']
        assert f"f:{name}" in fields["f:metadata"]["f:labels"]


def test_the_status_that_a_creator_sends_is_nobodys() -> None:
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "m", "labels": {"a": "b"}}}
    assert owned(PODS, pod | {"spec": {}, "status": {"phase": "Running"}}) == {
        "f:metadata": {"f:labels": {".": {}, "f:a": {}}}
    }


def test_no_more_is_kept_than_asked_for() -> None:
    known: Remembered[int] = Remembered(size=4)
    for number in range(100):
        known.keep(content(number), number)
    assert known.get(content(99)) == 99
    assert sum(known.get(content(number)) is not None for number in range(100)) <= 4
    assert content(1 << 70) == b""
