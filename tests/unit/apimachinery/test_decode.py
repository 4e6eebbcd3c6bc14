"""Bodies are decoded as the server's Go decoder does it: leniently where it is lenient, with its complaints."""

from __future__ import annotations

import json
from typing import Any

import pytest

from apimachinery.errors import StatusError
from apimachinery.gvk import GroupVersionKind
from apimachinery.resources import ResourceInfo, require
from apimachinery.schema import decode, decode_options

DEPLOYMENTS, PODS = require("apps/v1", "deployments"), require("v1", "pods")
DEPLOYMENT: dict[str, Any] = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "web", "labels": {"a": "b"}, "creationTimestamp": "2026-01-02T03:04:05Z"},
    "spec": {
        "replicas": 2,
        "selector": {"matchLabels": {"a": "b"}},
        "strategy": {"rollingUpdate": {"maxSurge": "25%", "maxUnavailable": 1}},
        "template": {
            "metadata": {"labels": {"a": "b"}},
            "spec": {
                "containers": [
                    {
                        "name": "c",
                        "image": "i",
                        "ports": [{"containerPort": 80}],
                        "resources": {"limits": {"cpu": "100m"}},
                    }
                ]
            },
        },
    },
}
SECRET = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "data": {"k": "YWJj"}}
LEASE = {
    "apiVersion": "coordination.k8s.io/v1",
    "kind": "Lease",
    "metadata": {"name": "l"},
    "spec": {"renewTime": "2026-01-02T03:04:05.000123Z", "leaseDurationSeconds": 15},
}
CRD = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "spec": {
        "versions": [
            {
                "name": "v1",
                "schema": {
                    "openAPIV3Schema": {
                        "type": "object",
                        "additionalProperties": True,
                        "properties": {"x": {"type": "array", "items": {"type": "string", "default": {"y": 1.5}}}},
                    }
                },
            }
        ]
    },
}


def body(obj: object) -> bytes:
    return json.dumps(obj).encode()


def complaint(info: Any, data: bytes, content_type: str = "application/json") -> str:
    with pytest.raises(StatusError) as caught:
        decode(info, data, content_type)
    assert (caught.value.code, caught.value.reason) == (400, "BadRequest")
    return caught.value.message


@pytest.mark.parametrize("obj", [DEPLOYMENT, SECRET, LEASE, CRD], ids=lambda one: str(one["kind"]))
def test_valid_objects_come_back_unchanged(obj: dict[str, Any]) -> None:
    group, _, version = obj["apiVersion"].rpartition("/")
    decoded = decode(GroupVersionKind(group, version, obj["kind"]), body(obj))
    assert decoded.obj == obj
    assert decoded.findings == []


def changed(path: str, value: object) -> bytes:
    obj = json.loads(json.dumps(DEPLOYMENT))
    *parents, last = path.split(".")
    target = obj
    for step in parents:
        target = target[int(step)] if step.isdigit() else target[step]
    target[last] = value
    return body(obj)


CONTAINER = "spec.template.spec.containers.0"


@pytest.mark.parametrize(
    ("path", "value", "want"),
    [
        ("spec.replicas", "2", "string into Go struct field DeploymentSpec.spec.replicas of type int32"),
        ("spec.replicas", 1.5, "number 1.5 into Go struct field DeploymentSpec.spec.replicas of type int32"),
        ("spec.replicas", 1 << 31, "number 2147483648 into Go struct field DeploymentSpec.spec.replicas of type int32"),
        ("spec.paused", 1, "number into Go struct field DeploymentSpec.spec.paused of type bool"),
        ("spec", [], "array into Go struct field Deployment.spec of type v1.DeploymentSpec"),
        ("metadata.labels", {"a": 1}, "number into Go struct field ObjectMeta.metadata.labels of type string"),
        (
            f"{CONTAINER}.ports",
            {},
            "object into Go struct field Container.spec.template.spec.containers.ports of type []v1.ContainerPort",
        ),
        (
            f"{CONTAINER}.ports.0.containerPort",
            True,
            "bool into Go struct field ContainerPort.spec.template.spec.containers.ports.containerPort of type int32",
        ),
    ],
)
def test_wrong_types_are_told_in_the_decoders_words(path: str, value: object, want: str) -> None:
    assert complaint(DEPLOYMENTS, changed(path, value)) == (
        f'Deployment in version "v1" cannot be handled as a Deployment: json: cannot unmarshal {want}'
    )


@pytest.mark.parametrize(
    ("path", "value", "want"),
    [
        (f"{CONTAINER}.resources.limits.cpu", "1x", "quantities must match the regular expression"),
        ("metadata.creationTimestamp", "now", 'parsing time "now" as "2006-01-02T15:04:05Z07:00"'),
        ("spec.strategy.rollingUpdate.maxSurge", 1.5, "cannot unmarshal number 1.5 into Go value of type int32"),
    ],
)
def test_special_types_complain_for_themselves(path: str, value: object, want: str) -> None:
    assert want in complaint(DEPLOYMENTS, changed(path, value))


def test_null_is_absent_and_lists_and_maps_keep_zero_values() -> None:
    obj = decode(DEPLOYMENTS, changed("spec.replicas", None)).obj
    assert "replicas" not in obj["spec"]
    assert decode(DEPLOYMENTS, changed("metadata.labels", {"a": None})).obj["metadata"]["labels"] == {"a": ""}
    assert decode(DEPLOYMENTS, changed("metadata.finalizers", [None])).obj["metadata"]["finalizers"] == [""]


def test_values_are_spelled_canonically() -> None:
    assert decode(DEPLOYMENTS, changed(f"{CONTAINER}.resources.limits", {"cpu": 0.5, "memory": "1024Mi"})).obj["spec"][
        "template"
    ]["spec"]["containers"][0]["resources"]["limits"] == {"cpu": "500m", "memory": "1Gi"}
    times = changed("metadata.creationTimestamp", "2026-01-02T03:04:05.9+01:00")
    assert decode(DEPLOYMENTS, times).obj["metadata"]["creationTimestamp"] == "2026-01-02T02:04:05Z"
    lease = json.loads(json.dumps(LEASE))
    lease["spec"]["renewTime"] = "2026-01-02T03:04:05Z"
    decoded = decode(require("coordination.k8s.io/v1", "leases"), body(lease))
    assert decoded.obj["spec"]["renewTime"] == "2026-01-02T03:04:05.000000Z"


def test_unknown_fields_are_dropped_and_named_with_their_path() -> None:
    data = changed(f"{CONTAINER}.Name", "case matters")
    decoded = decode(DEPLOYMENTS, data.replace(b'"paused"', b'"x"'))
    assert decoded.unknown == ['unknown field "spec.template.spec.containers[0].Name"']
    assert "Name" not in decoded.obj["spec"]["template"]["spec"]["containers"][0]


def test_duplicate_fields_are_named() -> None:
    data = (
        b'{"apiVersion":"v1","kind":"Pod","spec":{"nodeName":"a","nodeName":"b","volumes":[{"name":"c","name":"c"}]}}'
    )
    decoded = decode(PODS, data)
    assert decoded.duplicates == ['duplicate field "spec.nodeName"', 'duplicate field "spec.volumes[0].name"']
    assert decoded.obj["spec"]["nodeName"] == "b"


def test_complaints_come_in_the_order_of_the_text() -> None:
    data = b'{"spec":{"unknownField":1,"replicas":2,"replicas":3,"other":1},"x":{"y":1,"y":2}}'
    assert decode(DEPLOYMENTS, data).findings == [
        'unknown field "spec.unknownField"',
        'duplicate field "spec.replicas"',
        'unknown field "spec.other"',
        'unknown field "x"',
        'duplicate field "x.y"',
    ]


def test_kind_and_version_default_to_the_requests() -> None:
    assert decode(PODS, b"{}").obj == {"apiVersion": "v1", "kind": "Pod"}


@pytest.mark.parametrize(
    ("data", "want"),
    [
        (
            b'{"apiVersion":"v1","kind":"Service"}',
            'Service in version "v1" cannot be handled as a Pod: converting (v1.Service) to (core.Pod): '
            "unknown conversion",
        ),
        (
            b'{"apiVersion":"v1","kind":"Foo"}',
            'Foo in version "v1" cannot be handled as a Pod: no kind "Foo" is registered for version "v1" in scheme '
            '"pkg/api/legacyscheme/scheme.go:30"',
        ),
        (
            b"",
            "the object provided is unrecognized (must be of type Pod): couldn't get version/kind; json parse error: "
            "unexpected end of JSON input (<empty>)",
        ),
        (
            b'{"kind": x}',
            "the object provided is unrecognized (must be of type Pod): couldn't get version/kind; json parse error: "
            "invalid character 'x' looking for beginning of value ({\"kind\": x})",
        ),
        (
            b'{"a":1 "b":2}',
            "the object provided is unrecognized (must be of type Pod): couldn't get version/kind; json parse error: "
            'invalid character \'"\' after object key:value pair ({"a":1 "b":2})',
        ),
        (b"[1 2]", "invalid character '2' after array element (5b3120325d)"),
        (b"[NaN]", "invalid character 'N' looking for beginning of value"),
        (b'{"kind":3}', "json: cannot unmarshal number into Go struct field .kind of type string"),
        (b"[]", "json: cannot unmarshal array into Go value of type struct {"),
        (b'{"kind":"Pod","apiVersion":"a/b/c"}', "unexpected GroupVersion string: a/b/c"),
        (b"[" * 100_000, "exceeded max depth"),
        (b'{"metadata":' * 5000 + b"1" + b"}" * 5000, "exceeded max depth"),
    ],
)
def test_what_is_no_pod_is_refused(data: bytes, want: str) -> None:
    assert want in complaint(PODS, data)


def test_another_version_of_the_kind_is_refused() -> None:
    assert complaint(DEPLOYMENTS, b'{"apiVersion":"apps/v1beta1","kind":"Deployment"}') == (
        "the API version in the data (apps/v1beta1) does not match the expected API version (apps/v1)"
    )


def test_deeply_nested_schemas_are_refused_not_crashed_on() -> None:
    nested = b'{"not":' * 900 + b"{}" + b"}" * 900
    data = b'{"spec":{"versions":[{"schema":{"openAPIV3Schema":' + nested + b"}}]}}"
    info = require("apiextensions.k8s.io/v1", "customresourcedefinitions")
    assert "exceeded max depth" in complaint(info, data)


def test_bad_utf8_is_repaired() -> None:
    assert decode(PODS, b'{"metadata":{"name":"a\xff"}}').obj["metadata"]["name"] == "a\ufffd"


def test_bytes_must_be_base64() -> None:
    assert "illegal base64 data at input byte 0" in complaint(
        require("v1", "secrets"), b'{"kind":"Secret","apiVersion":"v1","data":{"a":"***"}}'
    )


def test_yaml_is_read_as_the_servers_library_reads_it() -> None:
    data = b"""
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, annotations: {"1": "2", when: "2026-01-01"}, creationTimestamp: 2026-01-02T03:04:05Z}
spec:
  paused: yes
  replicas: 0x10
---
kind: ignored
"""
    obj = decode(DEPLOYMENTS, data, "application/yaml").obj
    assert obj["spec"] == {"paused": True, "replicas": 16}
    assert obj["metadata"]["creationTimestamp"] == "2026-01-02T03:04:05Z"
    scalars = decode(
        require("v1", "configmaps"),
        b'data: {a: "1:30", b: "1e3"}\nmetadata: {name: x, generation: 1e3, labels: {t: 12:30}}',
        "application/yaml",
    ).obj
    assert scalars["metadata"] == {"name": "x", "generation": 1000, "labels": {"t": "12:30"}}


def test_yaml_bombs_and_bad_yaml_are_refused() -> None:
    bomb = "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n" + "".join(
        f"a{n}: &a{n} [{','.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 12)
    )
    assert "excessive aliasing" in complaint(PODS, bomb.encode(), "application/yaml")
    assert "excessive aliasing" in complaint(PODS, b"a: &x [*x]", "application/yaml")
    assert "error converting YAML to JSON: yaml: line" in complaint(PODS, b"a: [", "application/yaml")
    assert "YAML" in complaint(PODS, b"!!python/object/apply:os.system [ls]", "application/yaml")
    assert decode(PODS, b"kind: Pod\nkind: Pod\n", "application/yaml").duplicates == [
        'line 2: key "kind" already set in map'
    ]


def test_custom_resources_have_typed_metadata_only() -> None:
    info = ResourceInfo("example.com", "v1", "Widget", "widgets")
    data = b'{"apiVersion":"example.com/v1","kind":"Widget","metadata":{"name":"w","x":1},"spec":{"any":null}}'
    decoded = decode(info, data)
    assert decoded.obj["spec"] == {"any": None}
    assert decoded.unknown == ['unknown field "metadata.x"']
    assert "Object 'Kind' is missing" in complaint(info, b"{}")


def test_options_are_accepted_under_any_group() -> None:
    options = decode_options("DeleteOptions", b'{"kind":"DeleteOptions","apiVersion":"apps/v1","gracePeriodSeconds":0}')
    assert options.obj == {"apiVersion": "v1", "kind": "DeleteOptions", "gracePeriodSeconds": 0}
