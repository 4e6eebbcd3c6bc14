"""The verbs on real objects: what upstream's clients rely on, from status codes to messages."""

from __future__ import annotations

import gzip

import httpx
import orjson
import yaml

from apimachinery import protobuf


def config_map(name: str, **data: str) -> dict[str, object]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


def pod(name: str, **spec: object) -> dict[str, object]:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"app": name}},
        "spec": {"containers": [{"name": "c", "image": "busybox"}], **spec},
    }


def test_an_object_goes_through_its_life(api: httpx.Client, namespace: str) -> None:
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    made = api.post(path, json=config_map("one", a="1"))
    assert made.status_code == 201
    first = made.json()
    assert first["metadata"]["uid"]
    assert first["metadata"]["creationTimestamp"].endswith("Z")
    assert api.get(f"{path}/one").json() == first
    first["data"]["b"] = "2"
    second = api.put(f"{path}/one", json=first).json()
    assert second["data"] == {"a": "1", "b": "2"}
    assert int(second["metadata"]["resourceVersion"]) > int(first["metadata"]["resourceVersion"])
    stale = api.put(f"{path}/one", json=first)
    assert stale.status_code == 409
    assert stale.json()["message"] == (
        'Operation cannot be fulfilled on configmaps "one": the object has been modified; '
        "please apply your changes to the latest version and try again"
    )
    gone = api.delete(f"{path}/one")
    assert gone.status_code == 200
    assert gone.json()["details"] == {"name": "one", "kind": "configmaps", "uid": first["metadata"]["uid"]}
    missing = api.get(f"{path}/one")
    assert missing.status_code == 404
    assert missing.json()["message"] == 'configmaps "one" not found'


def test_a_second_object_of_the_name_is_refused(api: httpx.Client, namespace: str) -> None:
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    api.post(path, json=config_map("one"))
    answer = api.post(path, json=config_map("one"))
    assert answer.status_code == 409
    assert answer.json()["reason"] == "AlreadyExists"


def test_names_are_generated(api: httpx.Client, namespace: str) -> None:
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    names = {api.post(path, json={"metadata": {"generateName": "x-"}}).json()["metadata"]["name"] for _ in range(5)}
    assert len(names) == 5
    assert all(len(name) == 7 and name.startswith("x-") for name in names)


def test_an_update_without_change_keeps_the_revision(api: httpx.Client, namespace: str) -> None:
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    made = api.post(path, json=config_map("one", a="1")).json()
    again = api.put(f"{path}/one", json=made).json()
    assert again["metadata"]["resourceVersion"] == made["metadata"]["resourceVersion"]


def test_patches_of_each_kind(api: httpx.Client, namespace: str) -> None:
    path = f"/api/v1/namespaces/{namespace}/pods"
    assert api.post(path, json=pod("p")).status_code == 201

    def patch(media: str, body: object, **query: str) -> httpx.Response:
        headers = {"content-type": f"application/{media}"}
        return api.patch(f"{path}/p", content=orjson.dumps(body), headers=headers, params=query)

    merged = patch("merge-patch+json", {"metadata": {"labels": {"x": "1", "app": None}}})
    assert merged.json()["metadata"]["labels"] == {"x": "1"}
    pointed = patch("json-patch+json", [{"op": "add", "path": "/metadata/labels/y", "value": "2"}])
    assert pointed.json()["metadata"]["labels"] == {"x": "1", "y": "2"}
    strategic = patch("strategic-merge-patch+json", {"spec": {"containers": [{"name": "c", "image": "alpine"}]}})
    assert strategic.json()["spec"]["containers"][0]["image"] == "alpine"
    assert len(strategic.json()["spec"]["containers"]) == 1
    applied = patch(
        "apply-patch+yaml",
        {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "labels": {"z": "3"}}},
        fieldManager="tester",
    )
    assert applied.status_code == 200, applied.text
    assert applied.json()["metadata"]["labels"]["z"] == "3"
    managers = {(one["manager"], one["operation"]) for one in applied.json()["metadata"]["managedFields"]}
    assert ("tester", "Apply") in managers
    assert patch("xml", {}).status_code == 415


def test_two_appliers_conflict(api: httpx.Client, namespace: str) -> None:
    path = f"/api/v1/namespaces/{namespace}/configmaps/shared"
    headers = {"content-type": "application/apply-patch+yaml"}
    one, two = yaml.safe_dump(config_map("shared", k="1")), yaml.safe_dump(config_map("shared", k="2"))
    assert api.patch(path, content=one, headers=headers, params={"fieldManager": "a"}).status_code == 201
    refused = api.patch(path, content=two, headers=headers, params={"fieldManager": "b"})
    assert refused.status_code == 409
    assert 'conflict with "a"' in refused.json()["message"]
    forced = api.patch(path, content=two, headers=headers, params={"fieldManager": "b", "force": "true"})
    assert forced.json()["data"] == {"k": "2"}


def test_unknown_fields_warn_or_refuse(api: httpx.Client, namespace: str) -> None:
    path = f"/api/v1/namespaces/{namespace}/pods"
    body = pod("p", nonsense=1)
    warned = api.post(path, json=body, params={"dryRun": "All"})
    assert warned.status_code == 201
    assert warned.headers["warning"] == '299 - "unknown field \\"spec.nonsense\\""'
    strict = api.post(path, json=body, params={"fieldValidation": "Strict"})
    assert strict.status_code == 400
    assert 'strict decoding error: unknown field "spec.nonsense"' in strict.json()["message"]
    ignored = api.post(path, json=body, params={"fieldValidation": "Ignore", "dryRun": "All"})
    assert "warning" not in ignored.headers
    assert api.post(path, json=body, params={"fieldValidation": "Maybe"}).status_code == 422


def test_a_dry_run_leaves_nothing(api: httpx.Client, namespace: str) -> None:
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    assert api.post(path, json=config_map("one"), params={"dryRun": "All"}).status_code == 201
    assert api.get(f"{path}/one").status_code == 404
    made = api.post(path, json=config_map("one")).json()
    changed = api.patch(
        f"{path}/one",
        json={"data": {"a": "1"}},
        headers={"content-type": "application/merge-patch+json"},
        params={"dryRun": "All"},
    )
    assert changed.json()["data"] == {"a": "1"}
    assert api.delete(f"{path}/one", params={"dryRun": "All"}).status_code == 200
    assert api.get(f"{path}/one").json() == made


def test_bad_bodies_are_explained(api: httpx.Client, namespace: str) -> None:
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    headers = {"content-type": "application/json"}
    assert api.post(path, content=b"{", headers=headers).status_code == 400
    assert api.post(path, content=b"[" * 20_000, headers=headers).status_code == 400
    assert api.post(path, json={"kind": "Pod", "apiVersion": "v1", "metadata": {"name": "x"}}).status_code == 400
    wrong = api.post(path, json={"metadata": {"name": "x"}, "data": {"a": 1}})
    assert wrong.status_code == 400
    assert "cannot unmarshal number" in wrong.json()["message"]
    assert api.post(path, json={"metadata": {"name": "Not_Valid"}}).status_code == 422
    assert api.post(path, json={"metadata": {"name": "x", "namespace": "other"}}).status_code == 400
    assert api.post(path, content=b" " * (3 * 1024 * 1024 + 1), headers=headers).status_code == 413
    assert api.post(path, content=b"x", headers={"content-type": "text/plain"}).status_code == 415
    bomb = gzip.compress(b" " * (30 * 1024 * 1024))
    assert api.post(path, content=bomb, headers={**headers, "content-encoding": "gzip"}).status_code == 413


def test_yaml_goes_in_and_comes_out(api: httpx.Client, namespace: str) -> None:
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    headers = {"content-type": "application/yaml", "accept": "application/yaml"}
    made = api.post(path, content=yaml.safe_dump(config_map("one", a="1")), headers=headers)
    assert made.headers["content-type"] == "application/yaml"
    assert yaml.safe_load(made.text)["data"] == {"a": "1"}


def test_other_representations(api: httpx.Client, namespace: str) -> None:
    path = f"/api/v1/namespaces/{namespace}/pods"
    api.post(path, json=pod("p"))
    table = api.get(path, headers={"accept": "application/json;as=Table;v=v1;g=meta.k8s.io"}).json()
    assert table["kind"] == "Table"
    assert table["columnDefinitions"][0]["name"] == "Name"
    assert table["rows"][0]["cells"][0] == "p"
    assert table["rows"][0]["object"]["kind"] == "PartialObjectMetadata"
    partial = api.get(f"{path}/p", headers={"accept": "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io"})
    assert set(partial.json()) == {"kind", "apiVersion", "metadata"}
    assert api.get(path, headers={"accept": "image/png"}).status_code == 406


def test_methods_that_do_not_exist(api: httpx.Client, namespace: str) -> None:
    path = f"/api/v1/namespaces/{namespace}"
    assert api.put(f"{path}/pods", json={}).status_code == 405
    assert api.post(f"{path}/pods/x", json={}).status_code == 405
    assert api.delete(f"{path}/bindings").status_code == 405
    assert api.get(f"{path}/nothing").status_code == 404
    assert api.get(f"{path}/nothing").json()["message"] == "the server could not find the requested resource"
    assert api.get("/apis/none/v1/things").text == "404 page not found\n"
    assert api.get("/nothing").status_code == 404


def test_conditional_updates_need_a_revision(api: httpx.Client, namespace: str) -> None:
    path = f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases"
    api.post(path, json={"metadata": {"name": "l"}, "spec": {}})
    answer = api.put(f"{path}/l", json={"metadata": {"name": "l"}, "spec": {"holderIdentity": "x"}})
    assert answer.status_code == 422
    assert "metadata.resourceVersion: Invalid value: 0x0: must be specified for an update" in answer.json()["message"]


def test_protobuf_goes_in_and_comes_out(api: httpx.Client, namespace: str) -> None:
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    only = {"accept": protobuf.MEDIA_TYPE}
    headers = {"content-type": protobuf.MEDIA_TYPE, **only}
    made = api.post(path, content=protobuf.encode(config_map("one", a="1")), headers=headers)
    assert made.status_code == 201, made.text
    assert made.headers["content-type"] == protobuf.MEDIA_TYPE
    assert protobuf.decode(made.content)["data"] == {"a": "1"}
    assert api.get(f"{path}/one", headers={"accept": f"{protobuf.MEDIA_TYPE},application/json"}).json()["data"]
    listed = protobuf.decode(api.get(path, headers=only).content)
    assert [item["metadata"]["name"] for item in listed["items"]] == ["one"]
    missing = api.get(f"{path}/two", headers=only)
    assert protobuf.decode(missing.content)["reason"] == "NotFound"
    assert api.delete(f"{path}/one", headers=only).status_code == 200
    query = {"watch": "1", "timeoutSeconds": "1", "resourceVersion": listed["metadata"]["resourceVersion"]}
    with api.stream("GET", path, params=query, headers=only) as answer:
        assert answer.headers["content-type"] == protobuf.WATCH_MEDIA_TYPE
        frame = answer.read()
    assert int.from_bytes(frame[:4]) == len(frame) - 4
    assert b"DELETED" in frame
    assert api.get(path, headers={"accept": f"{protobuf.MEDIA_TYPE};as=Table;v=v1;g=meta.k8s.io"}).status_code == 406
