"""Objects travel as protobuf and come back the same; bytes of strangers do no harm."""

from __future__ import annotations

import random
from typing import Any

import pytest

from apimachinery import protobuf
from apimachinery.errors import StatusError
from apimachinery.protobuf import wire
from apimachinery.resources import ResourceInfo, require
from apimachinery.schema import decode, decode_options, types

PODS = require("v1", "pods")
POD: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {
        "name": "p",
        "labels": {"b": "2", "a": "1"},
        "creationTimestamp": "2026-01-02T03:04:05Z",
        "managedFields": [{"manager": "m", "operation": "Update", "fieldsV1": {"f:spec": {}}}],
    },
    "spec": {
        "volumes": [{"name": "v", "emptyDir": {}}],
        "containers": [
            {
                "name": "c",
                "resources": {"limits": {"cpu": "100m"}},
                "livenessProbe": {"httpGet": {"port": "web"}, "failureThreshold": 3},
                "readinessProbe": {"tcpSocket": {"port": 80}},
                "securityContext": {"runAsUser": 0, "privileged": False},
            }
        ],
        "priority": -5,
        "terminationGracePeriodSeconds": 0,
    },
    "status": {},
}
OTHERS: list[dict[str, Any]] = [
    {"apiVersion": "v1", "kind": "Secret", "metadata": {}, "data": {"k": "AAEC"}},
    {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {},
        "spec": {"renewTime": "2026-01-02T03:04:05.000123Z"},
    },
    {"apiVersion": "apps/v1", "kind": "ControllerRevision", "metadata": {}, "data": {"x": [1, "y"]}, "revision": 7},
    {
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenReview",
        "metadata": {},
        "spec": {},
        "status": {"user": {"extra": {"k": ["a", "b"]}}},
    },
    {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {},
        "spec": {
            "group": "g",
            "scope": "Cluster",
            "names": {"plural": "p", "kind": "K"},
            "versions": [
                {
                    "name": "v1",
                    "served": True,
                    "storage": True,
                    "schema": {
                        "openAPIV3Schema": {
                            "additionalProperties": {"type": "string", "default": "x"},
                            "items": {"type": "number", "maximum": 1.5},
                            "properties": {"p": {"additionalProperties": False, "enum": [1, "a"]}},
                        }
                    },
                }
            ],
        },
        "status": {"acceptedNames": {"plural": "", "kind": ""}},
    },
    {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"creationTimestamp": "0001-01-01T00:00:01Z"},
        "spec": {"renewTime": "0001-01-01T00:00:02.000000Z"},
    },
    {"apiVersion": "v1", "kind": "Status", "metadata": {}, "status": "Failure", "code": 404, "details": {"name": "x"}},
]


@pytest.mark.parametrize("obj", [POD, *OTHERS], ids=lambda one: str(one["kind"]))
def test_objects_come_back_the_same(obj: dict[str, Any]) -> None:
    assert protobuf.decode(protobuf.encode(obj)) == obj


def test_the_bytes_are_upstreams() -> None:
    """A namespace named `a`, as client-go marshals it but for the empty status nobody sends."""
    obj = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "a"}}
    assert protobuf.encode(obj) == (
        b"k8s\x00\x0a\x0f\x0a\x02v1\x12\x09Namespace\x12\x05\x0a\x03\x0a\x01a\x1a\x00\x22\x00"
    )


def test_zero_values_which_go_always_sends_are_left_out_again() -> None:
    spec = (
        wire.length_field(3, b"") + wire.length_field(10, b"") + wire.number_field(11, 0)
    )  # restartPolicy, nodeName, hostNetwork
    data = protobuf.close_envelope(
        "v1", "Pod", wire.length_field(1, wire.length_field(8, b"")) + wire.length_field(2, spec)
    )
    assert protobuf.decode(data) == {"apiVersion": "v1", "kind": "Pod", "metadata": {}, "spec": {}}


def test_request_bodies_may_be_protobuf() -> None:
    assert decode(PODS, protobuf.encode(POD), protobuf.MEDIA_TYPE).obj == POD
    options = protobuf.encode({"apiVersion": "v1", "kind": "DeleteOptions", "gracePeriodSeconds": 0})
    assert decode_options("DeleteOptions", options, protobuf.MEDIA_TYPE).obj["gracePeriodSeconds"] == 0
    with pytest.raises(StatusError, match="does not appear to be a protobuf message") as caught:
        decode(PODS, b"{}", protobuf.MEDIA_TYPE)
    assert caught.value.code == 400
    with pytest.raises(StatusError, match="cannot be handled as a Pod"):
        decode(PODS, protobuf.encode(OTHERS[0]), protobuf.MEDIA_TYPE)


def test_lists_and_watches() -> None:
    pods = [protobuf.encode_message({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}}) for name in "ab"]
    got = protobuf.decode(protobuf.encode_list("v1", "PodList", {"resourceVersion": "7"}, pods))
    assert got["metadata"] == {"resourceVersion": "7"}
    assert [one["metadata"]["name"] for one in got["items"]] == ["a", "b"]
    frame = protobuf.watch_frame("ADDED", protobuf.encode(POD))
    assert int.from_bytes(frame[:4], "big") == len(frame) - 4
    event = {number: frame[at:to] for number, _, at, to in wire.fields(frame, 4, len(frame))}
    assert event[1] == b"ADDED"
    assert protobuf.decode(event[2][event[2].index(b"k8s\x00") :]) == POD


def test_custom_resources_have_no_protobuf_form() -> None:
    info = ResourceInfo("example.com", "v1", "Widget", "widgets")
    assert not protobuf.knows(info.group, info.version, info.kind)
    with pytest.raises(protobuf.WireError, match="no kind"):
        protobuf.encode({"apiVersion": "example.com/v1", "kind": "Widget"})


def test_damaged_bytes_are_refused_and_nothing_else() -> None:
    rng = random.Random(4)
    sound = protobuf.encode(POD)
    for _ in range(1500):
        data = bytearray(sound)
        for _ in range(rng.randint(1, 4)):
            data[rng.randrange(4, len(data))] = rng.randrange(256)
        try:
            protobuf.decode(bytes(data[: rng.randint(4, len(data))]))
        except ValueError:
            continue


def test_endless_nesting_is_refused() -> None:
    schema = b""
    for _ in range(3000):
        schema = wire.length_field(28, schema)
    message = wire.length_field(2, wire.length_field(7, wire.length_field(4, wire.length_field(1, schema))))
    with pytest.raises(protobuf.WireError, match="exceeded max depth"):
        protobuf.decode(protobuf.close_envelope("apiextensions.k8s.io/v1", "CustomResourceDefinition", message))


def test_varints() -> None:
    for value in (0, 1, 127, 128, 300, (1 << 63) - 1, -1, -(1 << 63)):
        encoded = wire.varint(value)
        assert wire.signed(wire.read_varint(encoded, 0, len(encoded))[0]) == value
    with pytest.raises(wire.WireError):
        wire.read_varint(b"\xff" * 11, 0, 11)


def test_every_served_kind_has_field_numbers() -> None:
    from apimachinery.resources import RESOURCES
    from apimachinery.schema import facts

    by_kind = types().by_kind
    assert [info.group_resource for info in RESOURCES if not facts.of(by_kind[info.gvk].name)] == []
