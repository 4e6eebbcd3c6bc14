"""Bare metadata as protobuf, as metadata clients in Go may ask for it: objects, lists, watches, custom kinds."""

from __future__ import annotations

from typing import Any

import httpx

from apimachinery.protobuf import MEDIA_TYPE, open_envelope, wire
from apimachinery.protobuf.messages import decode
from apimachinery.schema.build import object_meta
from apimachinery.schema.nodes import ObjectNode
from tests.integration.apiserver.custom_kinds import collection, crontab, definition, establish, version

JSON = dict[str, Any]


def accept(kind: str) -> dict[str, str]:
    return {"accept": f"{MEDIA_TYPE};as={kind};g=meta.k8s.io;v=v1"}


def metadata_of(message: bytes) -> JSON:
    node = object_meta()
    assert isinstance(node, ObjectNode)
    [(number, _, start, end)] = list(wire.fields(message, 0, len(message)))
    assert number == 1
    found: JSON = decode(node, message[start:end])
    return found


def names_of(body: bytes) -> list[str]:
    api_version, kind, message = open_envelope(body)
    assert (api_version, kind) == ("meta.k8s.io/v1", "PartialObjectMetadataList")
    fields = list(wire.fields(message, 0, len(message)))
    assert fields[0][0] == 1  # the list's own metadata
    return [metadata_of(message[start:end])["name"] for number, _, start, end in fields if number == 2]


def test_objects_and_lists(api: httpx.Client, namespace: str) -> None:
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    for name in ("a", "b"):
        assert api.post(path, json={"metadata": {"name": name, "labels": {"x": "y"}}, "data": {"k": "v"}}).is_success
    one = api.get(f"{path}/a", headers=accept("PartialObjectMetadata"))
    assert (one.status_code, one.headers["content-type"]) == (200, MEDIA_TYPE)
    api_version, kind, message = open_envelope(one.content)
    assert (api_version, kind) == ("meta.k8s.io/v1", "PartialObjectMetadata")
    assert metadata_of(message)["labels"] == {"x": "y"}
    assert names_of(api.get(path, headers=accept("PartialObjectMetadataList")).content) == ["a", "b"]
    protobuf = accept("PartialObjectMetadata")["accept"]
    both = {"accept": f"{protobuf},{protobuf.replace(MEDIA_TYPE, 'application/json')}"}
    assert api.get(f"{path}/a", headers=both).json()["kind"] == "PartialObjectMetadata"
    assert api.get(path, headers={"accept": f"{MEDIA_TYPE};as=Table;g=meta.k8s.io;v=v1"}).status_code == 406


def test_watches(api: httpx.Client, namespace: str) -> None:
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    assert api.post(path, json={"metadata": {"name": "a"}, "data": {"k": "v"}}).is_success
    query = {"watch": "1", "timeoutSeconds": "1"}
    body = api.get(path, params=query, headers=accept("PartialObjectMetadata")).content
    event = body[4 : 4 + int.from_bytes(body[:4], "big")]
    (_, _, start, end), (_, _, at, to) = list(wire.fields(event, 0, len(event)))
    assert event[start:end] == b"ADDED"
    [(_, _, inner, last)] = list(wire.fields(event, at, to))
    _, kind, message = open_envelope(event[inner:last])
    assert (kind, metadata_of(message)["name"]) == ("PartialObjectMetadata", "a")


def test_custom_kinds_have_metadata_as_well(api: httpx.Client, namespace: str) -> None:
    group = establish(api, definition(version()))
    path = collection(group, namespace)
    assert api.post(path, json=crontab(group, "a")).is_success
    assert names_of(api.get(path, headers=accept("PartialObjectMetadataList")).content) == ["a"]
    assert api.get(path, headers={"accept": MEDIA_TYPE}).status_code == 406
    query = {"watch": "1", "timeoutSeconds": "1"}
    assert b"ADDED" in api.get(path, params=query, headers=accept("PartialObjectMetadata")).content
