"""Whatever a client sends, it is answered with a Status or taken; nothing else comes out of decoding and patching."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Callable
from typing import Any

import orjson
import pytest

from apimachinery import protobuf, validation
from apimachinery.errors import StatusError
from apimachinery.patch import apply, json_patch, managed, merge_patch, result, strategic
from apimachinery.resources import ResourceInfo, require
from apimachinery.schema import decode

PODS, CONFIG_MAPS = require("v1", "pods"), require("v1", "configmaps")
NOW = "2026-01-01T00:00:00Z"
DEPLOYMENTS, SERVICES, CRDS = (
    require("apps/v1", "deployments"),
    require("v1", "services"),
    require("apiextensions.k8s.io/v1", "customresourcedefinitions"),
)
SAMPLES: list[tuple[ResourceInfo, dict[str, Any]]] = [
    (
        DEPLOYMENTS,
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": "d", "labels": {"a": "b"}, "finalizers": ["x/y"], "ownerReferences": [{"uid": "u"}]},
            "spec": {
                "replicas": 1,
                "strategy": {"rollingUpdate": {"maxSurge": "25%"}},
                "template": {
                    "spec": {
                        "containers": [
                            {"name": "c", "ports": [{"containerPort": 1}], "resources": {"limits": {"cpu": "1"}}},
                            {"name": "d", "env": [{"name": "E", "value": "v"}]},
                        ],
                        "volumes": [{"name": "v", "configMap": {"name": "x"}}],
                    }
                },
            },
            "status": {"conditions": [{"type": "Available", "lastUpdateTime": NOW}]},
        },
    ),
    (
        SERVICES,
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "s"},
            "spec": {"ports": [{"port": 80, "targetPort": "web"}, {"port": 81}], "clusterIPs": ["None"]},
        },
    ),
    (
        CRDS,
        {
            "apiVersion": "apiextensions.k8s.io/v1",
            "kind": "CustomResourceDefinition",
            "metadata": {"name": "c"},
            "spec": {
                "versions": [
                    {"schema": {"openAPIV3Schema": {"items": {"not": {}}, "additionalProperties": True, "default": {}}}}
                ]
            },
        },
    ),
]
JUNK: list[Any] = [
    None, True, 0, -1, 1.5, 1e300, 2**31, 2**63, 10**30, "", "x", "\ud800", "a" * 300, [], {}, [[]], [None], {"": None},
    [{}], {"$patch": "delete"}, ["a", 1], "1Gi", "é\x00", {"name": "c", "$patch": "delete"}, [{"name": "c"}] * 2,
]  # fmt: skip
NAMES = ["zz", "$retainKeys", "$setElementOrder/containers", "$deleteFromPrimitiveList/finalizers", "name", "$patch"]


def mutated(sample: dict[str, Any], rng: random.Random) -> dict[str, Any]:
    obj = copy.deepcopy(sample)
    for _ in range(rng.randint(1, 4)):
        place: Any = obj
        parent: Any = None
        key: Any = None
        for _ in range(rng.randint(1, 8)):
            if not isinstance(place, dict | list) or not place:
                break
            parent, key = place, rng.choice(list(place)) if isinstance(place, dict) else rng.randrange(len(place))
            place = parent[key]
        if isinstance(parent, dict) and rng.random() < 0.2:
            key = rng.choice(NAMES)
        if parent is not None:
            parent[key] = copy.deepcopy(rng.choice(JUNK))
    return obj


def attempt(info: ResourceInfo, sample: dict[str, Any], body: bytes, media: str) -> None:
    obj = decode(info, body, media).obj
    orjson.dumps(obj)
    assert protobuf.decode(protobuf.encode(obj)) is not None
    managed.update(info, None, dict(obj), "m", NOW)
    managed.update(info, sample, obj, "m", NOW)


def as_json(info: ResourceInfo, sample: dict[str, Any], body: bytes) -> None:
    attempt(info, sample, body, "application/json")


def as_yaml(info: ResourceInfo, sample: dict[str, Any], body: bytes) -> None:
    attempt(info, sample, body, "application/yaml")


def patch(info: ResourceInfo, sample: dict[str, Any], body: bytes) -> None:
    result.retyped(info, strategic.apply(sample, strategic.decode(body)[0], info), dict)


def merge(info: ResourceInfo, sample: dict[str, Any], body: bytes) -> None:
    result.retyped(info, merge_patch.apply(sample, merge_patch.decode(body)[0]), dict)


def operations(info: ResourceInfo, sample: dict[str, Any], body: bytes) -> None:
    try:
        result.retyped(info, json_patch.apply(sample, json_patch.decode(b"[" + body + b"]")[0]), dict)
    except json_patch.PatchError as error:
        raise error.status() from None


def server_side(info: ResourceInfo, sample: dict[str, Any], body: bytes) -> None:
    config, _ = apply.decode(info, body)
    orjson.dumps(apply.apply(info, sample, config, "m", True, NOW))
    orjson.dumps(apply.apply(info, None, config, "kubectl", False, NOW))


@pytest.mark.parametrize("seed", range(4))
def test_mutated_objects_are_taken_or_refused(seed: int) -> None:
    rng = random.Random(seed)
    taken = refused = 0
    for _ in range(150):
        info, sample = rng.choice(SAMPLES)
        body = json.dumps(mutated(sample, rng)).encode()
        if rng.random() < 0.2:
            damaged = bytearray(body)
            damaged[rng.randrange(len(damaged))] = rng.randrange(256)
            body = bytes(damaged)
        for attack in (as_json, as_yaml, patch, merge, operations, server_side):
            try:
                attack(info, sample, body)
                taken += 1
            except StatusError:
                refused += 1
    assert taken > 50
    assert refused > 50


def nested_yaml(depth: int) -> list[bytes]:
    return [
        b"[" * depth,
        b"{a: " * depth,
        b"- " * depth,
        b"? " * depth,
        b"".join(b" " * level + b"a:\n" for level in range(min(depth, 1500))),
        b"".join(b" " * level + b"a:\n" + b" " * level + b"-\n" for level in range(min(depth, 1000))),
    ]


@pytest.mark.parametrize("data", nested_yaml(100_000), ids=range(6))
def test_yaml_is_refused_before_it_is_followed_into_its_depth(data: bytes) -> None:
    """libyaml's composer recurses in C: some hundred thousand levels end the process."""
    with pytest.raises(StatusError, match="exceeded max depth"):
        decode(CONFIG_MAPS, data, "application/yaml")


@pytest.mark.parametrize("data", nested_yaml(30)[:2], ids=range(2))
def test_moderate_nesting_is_followed(data: bytes) -> None:
    closing = b"]" * 30 if data[:1] == b"[" else b"}" * 30
    text = b"metadata: {name: x, managedFields: [{fieldsV1: {a: " + data + closing + b"}}]}"
    assert decode(CONFIG_MAPS, text, "application/yaml").obj["metadata"]["name"] == "x"


def big(kind: str, spec: dict[str, Any], **metadata: Any) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": kind, "metadata": {"name": "x", "namespace": "n", **metadata}, "spec": spec}


MANY = 20_000


def many_duplicate_keys() -> None:
    text = b'{"metadata":{"name":"x"},"data":{%b}}' % b",".join([b'"a":"1"'] * MANY)
    assert decode(CONFIG_MAPS, text, "application/json").duplicates == ['duplicate field "data.a"']


def many_owners() -> None:
    owner = {"apiVersion": "v1", "kind": "Pod", "name": "o", "uid": "u", "controller": True}
    found = validation.validate_create(CONFIG_MAPS, big("ConfigMap", {}, ownerReferences=[owner] * MANY, uid="u"))
    assert sum("Only one reference" in str(error) for error in found) == 1


def many_constraints() -> None:
    constraints = [{"maxSkew": 1, "topologyKey": f"k{n}", "whenUnsatisfiable": "DoNotSchedule"} for n in range(MANY)]
    spec = {"containers": [{"name": "c", "image": "i"}], "topologySpreadConstraints": constraints}
    validation.validate_create(PODS, big("Pod", spec))


def many_merged_elements() -> None:
    containers = [{"name": f"c{n}", "image": "i"} for n in range(MANY)]
    patch = {"spec": {"containers": [{"name": f"c{n}", "image": "j"} for n in range(MANY)]}}
    made = strategic.apply(big("Pod", {"containers": containers}), patch, PODS)
    assert {one["image"] for one in made["spec"]["containers"]} == {"j"}
    deleting = {"spec": {"containers": [{"name": f"c{n}", "$patch": "delete"} for n in range(1, MANY)]}}
    assert strategic.apply(made, deleting, PODS)["spec"]["containers"] == [{"name": "c0", "image": "j"}]


def many_managers() -> None:
    entries = [
        {"manager": f"m{n}", "operation": "Update", "apiVersion": "v1", "time": NOW, "fieldsType": "FieldsV1",
         "fieldsV1": {"f:data": {f"f:a{n}": {}}}}
        for n in range(MANY // 4)
    ]  # fmt: skip
    old = {**big("ConfigMap", {}, uid="u", managedFields=entries), "data": {f"a{n}": "1" for n in range(MANY // 4)}}
    new = {**copy.deepcopy(old), "data": {**old["data"], "b": "2"}}
    managed.update(CONFIG_MAPS, old, new, "me", NOW)
    assert len(new["metadata"]["managedFields"]) == 10


@pytest.mark.parametrize(
    "work", [many_duplicate_keys, many_owners, many_constraints, many_merged_elements, many_managers]
)
@pytest.mark.timeout(60)
def test_work_grows_with_the_body_not_with_its_square(work: Callable[[], None]) -> None:
    """Each of these took minutes when it compared everything with everything."""
    work()
