"""JSON, merge and strategic merge patches change what they say and nothing else."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

from apimachinery.errors import StatusError
from apimachinery.patch import json_patch, merge_patch, result, strategic
from apimachinery.patch.json_patch import PatchError
from apimachinery.resources import ResourceInfo, require

PODS, DEPLOYMENTS, SERVICES = require("v1", "pods"), require("apps/v1", "deployments"), require("v1", "services")


@pytest.mark.parametrize(
    ("doc", "operations", "want"),
    [
        ({"a": 1}, [{"op": "add", "path": "/b", "value": 2}], {"a": 1, "b": 2}),
        ({"a": [1, 3]}, [{"op": "add", "path": "/a/1", "value": 2}], {"a": [1, 2, 3]}),
        ({"a": [1]}, [{"op": "add", "path": "/a/-", "value": 2}], {"a": [1, 2]}),
        ({"a": [1, 2]}, [{"op": "remove", "path": "/a/-1"}], {"a": [1]}),
        ({"a/b": {"~": 1}}, [{"op": "replace", "path": "/a~1b/~0", "value": 2}], {"a/b": {"~": 2}}),
        ({"a": 1}, [{"op": "replace", "path": "/new", "value": 2}], {"a": 1, "new": 2}),
        ({"a": {"b": 1}}, [{"op": "move", "from": "/a/b", "path": "/c"}], {"a": {}, "c": 1}),
        ({"a": {"b": 1}}, [{"op": "copy", "from": "/a", "path": "/c"}], {"a": {"b": 1}, "c": {"b": 1}}),
        ({"a": 1}, [{"op": "test", "path": "/a", "value": 1}, {"op": "test", "path": "/x", "value": None}], {"a": 1}),
        ({"a": 1}, [{"op": "replace", "path": "", "value": {"b": 1}}], {"b": 1}),
    ],
)
def test_json_patch(doc: Any, operations: list[dict[str, Any]], want: Any) -> None:
    before = copy.deepcopy(doc)
    assert json_patch.apply(doc, operations) == want
    assert doc == before


@pytest.mark.parametrize(
    "operation",
    [
        {"op": "remove", "path": "/x"},
        {"op": "add", "path": "/x/y", "value": 1},
        {"op": "add", "path": "/a/7", "value": 1},
        {"op": "add", "path": "/a/x", "value": 1},
        {"op": "add", "path": "nowhere", "value": 1},
        {"op": "add", "path": "/x"},
        {"op": "test", "path": "/a/0", "value": 2},
        {"op": "test", "path": "/a/0", "value": True},
        {"op": "move", "from": "/x", "path": "/y"},
        {"op": "explode", "path": "/a"},
        {"op": "remove"},
        {"op": "copy", "from": "/a/9", "path": "/b"},
    ],
)
def test_operations_that_do_not_apply(operation: dict[str, Any]) -> None:
    with pytest.raises(PatchError) as caught:
        json_patch.apply({"a": [1]}, [operation])
    status = caught.value.status()
    assert (status.code, status.reason) == (422, "Invalid")


def test_copies_may_not_grow_without_bound() -> None:
    grow = [{"op": "copy", "from": "/a", "path": f"/a/x{n}"} for n in range(64)]
    with pytest.raises(PatchError, match="exceeding the limit"):
        json_patch.apply({"a": {"b": "x" * 1000}}, grow)


def test_bodies_that_are_no_patches() -> None:
    for decode, data in (
        (json_patch.decode, b"{}"),
        (json_patch.decode, b"["),
        (json_patch.decode, b"[1]"),
        (merge_patch.decode, b"[]"),
        (strategic.decode, b"1"),
    ):
        with pytest.raises(StatusError) as caught:
            decode(data)
        assert caught.value.code == 400
    with pytest.raises(StatusError) as caught:
        json_patch.decode(json.dumps([{"op": "remove", "path": "/a"}] * 10_001).encode())
    assert caught.value.code == 413
    assert json_patch.decode(b'[{"op":"add","path":"/a","path":"/b","value":1}]')[1] == [
        'json patch duplicate field "[0].path"'
    ]


def test_merge_patch() -> None:
    doc = {"a": {"b": 1, "c": 2}, "d": [1]}
    patch = {"a": {"b": None, "e": {"f": None, "g": 1}}, "d": [2]}
    assert merge_patch.apply(doc, patch) == {"a": {"c": 2, "e": {"g": 1}}, "d": [2]}
    assert doc == {"a": {"b": 1, "c": 2}, "d": [1]}


def pod(*containers: dict[str, Any], **spec: Any) -> dict[str, Any]:
    return {"spec": {"containers": list(containers), **spec}}


def test_strategic_merges_lists_by_key() -> None:
    doc = pod({"name": "a", "image": "1"}, {"name": "b", "image": "1"})
    patch = pod({"name": "b", "image": "2"}, {"name": "c"})
    assert strategic.apply(doc, patch, PODS) == pod(
        {"name": "a", "image": "1"}, {"name": "b", "image": "2"}, {"name": "c"}
    )
    assert doc == pod({"name": "a", "image": "1"}, {"name": "b", "image": "1"})


@pytest.mark.parametrize(
    ("doc", "patch", "want"),
    [
        (  # an element is deleted
            pod({"name": "a"}, {"name": "b"}),
            pod({"name": "a", "$patch": "delete"}),
            pod({"name": "b"}),
        ),
        (  # a list is replaced
            pod({"name": "a"}, {"name": "b"}),
            pod({"name": "c"}, {"$patch": "replace"}),
            pod({"name": "c"}),
        ),
        (  # a map is replaced, or emptied
            {"metadata": {"labels": {"a": "1"}, "annotations": {"x": "y"}}},
            {"metadata": {"labels": {"b": "2", "$patch": "replace"}, "annotations": {"$patch": "delete"}}},
            {"metadata": {"labels": {"b": "2"}, "annotations": {}}},
        ),
        (  # primitive lists are merged, and elements taken out of them
            {"metadata": {"finalizers": ["a", "b"]}},
            {"metadata": {"finalizers": ["c"], "$deleteFromPrimitiveList/finalizers": ["a"]}},
            {"metadata": {"finalizers": ["c", "b"]}},
        ),
        (  # atomic lists are replaced
            pod({"name": "a", "args": ["x", "y"]}),
            pod({"name": "a", "args": ["z"]}),
            pod({"name": "a", "args": ["z"]}),
        ),
        (  # order is the patch's, the server's own elements keep their place
            pod({"name": "a"}, {"name": "server"}, {"name": "b"}),
            {
                "spec": {
                    "$setElementOrder/containers": [{"name": "b"}, {"name": "a"}],
                    "containers": [{"name": "b", "image": "i"}],
                }
            },
            pod({"name": "server"}, {"name": "b", "image": "i"}, {"name": "a"}),
        ),
        (  # fields other than the retained ones go
            pod(volumes=[{"name": "v", "emptyDir": {}}]),
            {"spec": {"volumes": [{"name": "v", "$retainKeys": ["name", "hostPath"], "hostPath": {"path": "/"}}]}},
            pod(volumes=[{"name": "v", "hostPath": {"path": "/"}}]),
        ),
        (  # null deletes; nulls and directives inside new values vanish
            {"metadata": {"labels": {"a": "1"}}},
            {"metadata": {"labels": {"a": None}}, "spec": {"nodeSelector": {"x": None, "y": "z"}}},
            {"metadata": {"labels": {}}, "spec": {"nodeSelector": {"y": "z"}}},
        ),
        ({"spec": {}}, {"spec": {"affinity": {"$patch": "delete"}}}, {"spec": {}}),
        ({"spec": {"tolerations": [{"key": "a"}]}}, {"spec": {"tolerations": []}}, {"spec": {"tolerations": []}}),
    ],
)
def test_strategic_directives(doc: dict[str, Any], patch: dict[str, Any], want: dict[str, Any]) -> None:
    assert strategic.apply(doc, patch, PODS) == want


def test_strategic_ports_of_services_merge_by_port() -> None:
    doc = {"spec": {"ports": [{"port": 80, "nodePort": 30000}, {"port": 81}]}}
    patch = {"spec": {"ports": [{"port": 80, "targetPort": "x"}]}}
    assert strategic.apply(doc, patch, SERVICES)["spec"]["ports"] == [
        {"port": 80, "nodePort": 30000, "targetPort": "x"},
        {"port": 81},
    ]


@pytest.mark.parametrize(
    ("patch", "code", "text"),
    [
        (pod({"image": "x"}), 400, "map: map[image:x] does not contain declared merge key: name"),
        ({"spec": {"$patch": "explode"}}, 400, "unknown patch type: explode in map: map[$patch:explode]"),
        ({"spec": {"$retainKeys": "x"}}, 400, "invalid patch format of retainKeys"),
        ({"spec": {"$retainKeys": ["x"], "nodeName": "n"}}, 400, "invalid patch format of retainKeys"),
        ({"spec": {"$deleteFromPrimitiveList": [1]}}, 400, "invalid patch format of primitive list"),
        ({"spec": {"$setElementOrder": [1]}}, 400, "invalid patch format of setElementOrder list"),
        (
            {"spec": {"$setElementOrder/containers": [{"name": "x"}], "containers": [{"name": "y"}]}},
            400,
            "The order in patch list:\n[map[name:y]]\n doesn't match $setElementOrder list:\n[map[name:x]]\n",
        ),
        (pod({"name": "a"}, 7), 400, "list element types are not identical: [map[name:a] map[name:a] 7]"),  # type: ignore[arg-type]
        ({"spec": {"containers": [[1]]}}, 422, "the server rejected our request due to an error in our request"),
    ],
)
def test_malformed_strategic_patches(patch: dict[str, Any], code: int, text: str) -> None:
    with pytest.raises(StatusError) as caught:
        strategic.apply(pod({"name": "a"}), patch, PODS)
    assert (caught.value.code, caught.value.message) == (code, text)


def test_custom_resources_refuse_strategic_patches() -> None:
    with pytest.raises(StatusError) as caught:
        strategic.apply({}, {}, ResourceInfo("example.com", "v1", "Widget", "widgets"))
    assert caught.value.code == 415


def test_the_result_is_typed_again() -> None:
    decoded = result.retyped(DEPLOYMENTS, {"spec": {"replicas": 3, "x": None}, "y": 1}, dict)
    assert decoded.obj == {"spec": {"replicas": 3}}
    assert decoded.unknown == ['unknown field "spec.x"', 'unknown field "y"']
    with pytest.raises(StatusError) as caught:
        result.retyped(DEPLOYMENTS, {"spec": {"replicas": "3"}}, lambda: {"spec": {"replicas": "3"}})
    assert caught.value.code == 422
    assert caught.value.message == (
        ' "" is invalid: patch: Invalid value: "{\\"spec\\":{\\"replicas\\":\\"3\\"}}": json: cannot unmarshal string '
        "into Go struct field DeploymentSpec.spec.replicas of type int32"
    )
