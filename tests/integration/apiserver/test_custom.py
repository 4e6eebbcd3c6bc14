"""Custom resources over HTTP: from the definition to its deletion."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx

from tests.integration.apiserver.custom_kinds import (
    APPLY,
    DEFINITIONS,
    MERGE,
    SPEC,
    collection,
    condition,
    crontab,
    definition,
    establish,
    version,
    wait_for,
    wait_until_gone,
)
from tests.integration.cluster_parts import ApiServer, Store, caught_up, start_apiserver

TABLE = {"accept": "application/json;as=Table;g=meta.k8s.io;v=v1"}
AGGREGATED = {"accept": "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"}


def test_objects_are_pruned_defaulted_and_judged(api: httpx.Client, namespace: str) -> None:
    group = establish(api, definition())
    path = collection(group, namespace)
    body = crontab(group, "a", unknown=1, limit="5%", free={"x": {"y": 1}})
    made = api.post(path, json=body | {"status": {"replicas": 9}})
    assert made.status_code == 201
    assert made.headers["warning"] == r'299 - "unknown field \"spec.unknown\""'
    assert made.json()["spec"] == {"cron": "* * * * *", "limit": "5%", "free": {"x": {"y": 1}}, "replicas": 1}
    assert "status" not in made.json()
    assert made.json()["metadata"]["generation"] == 1
    strict = api.post(f"{path}?fieldValidation=Strict", json=crontab(group, "b", unknown=1))
    assert strict.status_code == 400
    assert 'strict decoding error: unknown field "spec.unknown"' in strict.json()["message"]
    quiet = api.post(f"{path}?fieldValidation=Ignore", json=crontab(group, "b", unknown=1))
    assert quiet.status_code == 201
    assert "warning" not in quiet.headers
    bad = api.post(path, json=crontab(group, "c", cron="x", replicas=99, tags=["a", "a"], image=1)).json()
    assert bad["code"] == 422
    assert {cause["field"]: cause["reason"] for cause in bad["details"]["causes"]} == {
        "spec.cron": "FieldValueInvalid",
        "spec.replicas": "FieldValueInvalid",
        "spec.tags[1]": "FieldValueDuplicate",
        "spec.image": "FieldValueTypeInvalid",
    }
    assert 'spec.image in body must be of type string: "integer"' in bad["message"]
    listed = api.post(path, json=crontab(group, "c") | {"metadata": [1]})
    assert listed.status_code == 400
    assert "cannot unmarshal array into Go value of type v1.ObjectMeta" in listed.json()["message"]
    other = api.post(path, json=crontab(group, "c") | {"kind": "Other"})
    assert other.status_code == 422
    assert 'kind: Invalid value: "Other": must be CronTab' in other.json()["message"]


def test_every_verb_works_as_for_built_in_kinds(api: httpx.Client, namespace: str) -> None:
    group = establish(api, definition())
    path = collection(group, namespace)
    for name, color in (("a", "red"), ("b", "blue"), ("c", "red")):
        assert api.post(path, json=crontab(group, name, color=color)).status_code == 201
    assert [one["metadata"]["name"] for one in api.get(f"{path}?fieldSelector=spec.color%3Dred").json()["items"]] == [
        "a",
        "c",
    ]
    assert api.get(f"{path}?fieldSelector=spec.image%3Dx").status_code == 400
    page = api.get(f"{path}?limit=2").json()
    rest = api.get(f"{path}?limit=2&continue={page['metadata']['continue']}").json()
    assert page["kind"] == "CronTabList"
    assert [one["metadata"]["name"] for one in rest["items"]] == ["c"]
    table = api.get(path, headers=TABLE).json()
    assert [one["name"] for one in table["columnDefinitions"]] == ["Name", "Cron", "Replicas", "Age"]
    assert table["rows"][0]["cells"][:3] == ["a", "* * * * *", 1]
    dry = api.patch(f"{path}/a?dryRun=All", json={"spec": {"replicas": 3}}, headers=MERGE)
    assert dry.json()["spec"]["replicas"] == 3
    assert api.get(f"{path}/a").json()["spec"]["replicas"] == 1
    strategic = {"content-type": "application/strategic-merge-patch+json"}
    assert api.patch(f"{path}/a", json={}, headers=strategic).status_code == 415
    body = api.get(f"{path}/a").json()
    del body["metadata"]["resourceVersion"]
    assert api.put(f"{path}/a", json=body).status_code == 422
    assert api.put(f"{path}/none", json={**body, "metadata": {"name": "none"}}).status_code == 404
    query = f"{path}?watch=1&resourceVersion={api.get(path).json()['metadata']['resourceVersion']}&timeoutSeconds=30"
    with api.stream("GET", query) as stream:
        assert api.delete(f"{path}?labelSelector=x%21%3Dy").status_code == 200
        lines = stream.iter_lines()
        events = [json.loads(next(lines)) for _ in range(3)]
    assert {(one["type"], one["object"]["metadata"]["name"]) for one in events} == {
        ("DELETED", "a"),
        ("DELETED", "b"),
        ("DELETED", "c"),
    }


def test_status_and_scale(api: httpx.Client, namespace: str) -> None:
    group = establish(api, definition())
    path = f"{collection(group, namespace)}/a"
    api.post(collection(group, namespace), json={**crontab(group, "a", replicas=2), "status": {"replicas": 5}})
    changed = {"status": {"replicas": 2, "labelSelector": "a=b"}, "spec": {"replicas": 7}, "metadata": {"labels": {}}}
    after = api.patch(f"{path}/status", json=changed, headers=MERGE).json()
    assert (after["spec"]["replicas"], after["status"]["replicas"], after["metadata"]["generation"]) == (2, 2, 1)
    assert api.patch(path, json={"status": {"replicas": 9}}, headers=MERGE).json()["status"]["replicas"] == 2
    scale = api.get(f"{path}/scale").json()
    assert (scale["kind"], scale["spec"], scale["status"]) == (
        "Scale",
        {"replicas": 2},
        {"replicas": 2, "selector": "a=b"},
    )
    scaled = api.patch(f"{path}/scale", json={"spec": {"replicas": 4}}, headers=MERGE)
    assert scaled.json()["spec"] == {"replicas": 4}
    stored = api.get(path).json()
    assert stored["spec"]["replicas"] == 4
    assert stored["metadata"]["generation"] == 2
    owned = {one.get("subresource", ""): one["fieldsV1"] for one in stored["metadata"]["managedFields"]}
    assert owned["scale"] == {"f:spec": {"f:replicas": {}}}
    assert set(owned[""]) == {"f:spec"}
    assert api.put(f"{path}/scale", json={**scale, "spec": {"replicas": 5}}).status_code == 409
    assert api.get(f"{path}/other").status_code == 404


def test_apply_merges_as_the_definition_says(api: httpx.Client, namespace: str) -> None:
    group = establish(api, definition())
    path = f"{collection(group, namespace)}/a"

    def apply(manager: str, force: bool = False, **spec: Any) -> httpx.Response:
        query = f"{path}?fieldManager={manager}&force={'true' if force else 'false'}"
        return api.patch(query, content=json.dumps(crontab(group, "a", **spec)), headers=APPLY)

    assert apply("one", ports=[{"name": "x", "port": 1}], tags=["a"]).status_code == 201
    both = apply("two", ports=[{"name": "y", "port": 2}], tags=["b"])
    assert both.status_code == 200
    assert both.json()["spec"]["ports"] == [{"name": "x", "port": 1}, {"name": "y", "port": 2}]
    assert both.json()["spec"]["tags"] == ["a", "b"]
    refused = apply("two", ports=[{"name": "x", "port": 3}])
    assert refused.status_code == 409
    assert refused.json()["details"]["causes"][0]["field"] == '.spec.ports[name="x"].port'
    assert apply("two", force=True, ports=[{"name": "x", "port": 3}]).json()["spec"]["ports"] == [
        {"name": "x", "port": 3}
    ]
    assert ".spec.nope: field not declared in schema" in apply("one", nope=1).text
    assert "omits all key fields" in apply("one", ports=[{"port": 3}]).text


def test_several_versions_share_their_objects(api: httpx.Client, namespace: str) -> None:
    made = definition(version("v1beta1", storage=True), version("v1", storage=False))
    made["spec"]["versions"][0] |= {"deprecated": True}
    group = establish(api, made)
    old, new = collection(group, namespace, "v1beta1"), collection(group, namespace)
    warned = api.post(old, json=crontab(group, "a", "v1beta1"))
    assert f"{group}/v1beta1 CronTab is deprecated; use {group}/v1 CronTab" in warned.headers["warning"]
    assert api.get(f"{new}/a").json()["apiVersion"] == f"{group}/v1"
    assert [one["apiVersion"] for one in api.get(new).json()["items"]] == [f"{group}/v1"]
    discovery = api.get(f"/apis/{group}").json()
    assert discovery["preferredVersion"]["version"] == "v1"
    name = made["metadata"]["name"]
    moved = {"spec": {"versions": [version("v1beta1", storage=False), version("v1", storage=True)]}}
    assert api.patch(f"{DEFINITIONS}/{name}", json=moved, headers=MERGE).json()["status"]["storedVersions"] == [
        "v1beta1",
        "v1",
    ]
    caught_up(api)
    before = api.get(f"{new}/a").json()
    migrated = api.put(f"{new}/a", json=before)  # the same again: written all the same, in the new version
    assert migrated.json()["metadata"]["resourceVersion"] != before["metadata"]["resourceVersion"]
    again = api.put(f"{new}/a", json=migrated.json())
    assert again.json()["metadata"]["resourceVersion"] == migrated.json()["metadata"]["resourceVersion"]
    gone = {"spec": {"versions": [version("v1beta1", storage=False, served=False), version("v1")]}}
    assert api.patch(f"{DEFINITIONS}/{name}", json=gone, headers=MERGE).status_code == 200
    wait_until_gone(api, old)
    assert api.get(f"{new}/a").status_code == 200


def test_stored_objects_get_new_defaults_and_lose_what_is_unknown(api: httpx.Client, namespace: str) -> None:
    made = definition()
    group = establish(api, made)
    path = collection(group, namespace)
    api.post(path, json=crontab(group, "a", image="x"))
    fields = {**SPEC["properties"], "color": {"type": "string", "default": "green"}}
    del fields["image"]
    changed = {"spec": {"versions": [version(spec={**SPEC, "properties": fields})]}}
    api.patch(f"{DEFINITIONS}/{made['metadata']['name']}", json=changed, headers=MERGE)
    caught_up(api)
    found = api.get(f"{path}/a").json()["spec"]
    assert found == {"cron": "* * * * *", "replicas": 1, "color": "green"}
    assert api.get(f"{path}?fieldSelector=spec.color%3Dgreen").json()["items"][0]["spec"] == found


def test_unchanged_parts_need_not_satisfy_stricter_rules(api: httpx.Client, namespace: str) -> None:
    made = definition()
    group = establish(api, made)
    path = collection(group, namespace)
    api.post(path, json=crontab(group, "a", image="x"))
    fields = {**SPEC["properties"], "image": {"type": "string", "minLength": 3}}
    changed = {"spec": {"versions": [version(spec={**SPEC, "properties": fields})]}}
    api.patch(f"{DEFINITIONS}/{made['metadata']['name']}", json=changed, headers=MERGE)
    caught_up(api)
    assert api.patch(f"{path}/a", json={"spec": {"replicas": 2}}, headers=MERGE).status_code == 200
    assert api.patch(f"{path}/a", json={"spec": {"image": "y"}}, headers=MERGE).status_code == 422
    assert api.post(path, json=crontab(group, "b", image="x")).status_code == 422


def test_names_are_granted_once(api: httpx.Client) -> None:
    first = definition()
    group = establish(api, first)
    second = definition(group=group)
    second["metadata"]["name"] = f"others.{group}"
    second["spec"]["names"] = {"plural": "others", "kind": "Other", "shortNames": ["ct"]}
    assert api.post(DEFINITIONS, json=second).status_code == 201
    refused = wait_for(api, f"others.{group}", "NamesAccepted", "False")
    assert condition(refused, "Established") == "False"
    reason = next(one for one in refused["status"]["conditions"] if one["type"] == "NamesAccepted")
    assert (reason["reason"], reason["message"]) == ("ShortNamesConflict", '"ct" is already in use')
    assert api.get(f"/apis/{group}/v1/others").status_code == 404
    api.delete(f"{DEFINITIONS}/{first['metadata']['name']}")
    wait_for(api, f"others.{group}", "Established")


def test_deleting_a_definition_deletes_its_objects(api: httpx.Client, namespace: str) -> None:
    made = definition()
    name = made["metadata"]["name"]
    group = establish(api, made)
    path = collection(group, namespace)
    held = crontab(group, "held")
    held["metadata"]["finalizers"] = ["example.com/hold"]
    assert api.post(path, json=held).status_code == 201
    for number in range(3):
        api.post(path, json=crontab(group, f"a{number}"))
    answer = api.delete(f"{DEFINITIONS}/{name}").json()
    assert answer["metadata"]["finalizers"] == ["customresourcecleanup.apiextensions.k8s.io"]
    assert condition(answer, "Terminating") == "True"
    caught_up(api)
    refused = api.post(path, json=crontab(group, "late"))
    assert refused.status_code == 403
    assert "create not allowed while custom resource definition is terminating" in refused.text
    wait_until_gone(api, f"{path}/a0")
    assert [one["metadata"]["name"] for one in api.get(path).json()["items"]] == ["held"]
    api.patch(f"{path}/held", json={"metadata": {"finalizers": None}}, headers=MERGE)
    wait_until_gone(api, f"{DEFINITIONS}/{name}")
    assert api.get(path).status_code == 404
    establish(api, made)
    assert api.get(path).json()["items"] == []


def test_discovery_and_openapi_know_custom_kinds(api: httpx.Client) -> None:
    before = api.get("/apis", headers=AGGREGATED).headers["etag"]
    index_before = api.get("/openapi/v3").json()["paths"]
    group = establish(api, definition())
    after = api.get("/apis", headers=AGGREGATED)
    assert after.headers["etag"] != before
    found = next(one for one in after.json()["items"] if one["metadata"]["name"] == group)
    (listed,) = found["versions"][0]["resources"]
    assert (listed["resource"], listed["shortNames"], listed["singularResource"]) == ("crontabs", ["ct"], "crontab")
    assert [one["subresource"] for one in listed["subresources"]] == ["scale", "status"]
    index = api.get("/openapi/v3").json()["paths"]
    assert index["apis/apps/v1"] == index_before["apis/apps/v1"]
    document = api.get(index[f"apis/{group}/v1"]["serverRelativeURL"]).json()
    model = ".".join((*reversed(group.split(".")), "v1.CronTab"))
    schema = document["components"]["schemas"][model]
    assert schema["properties"]["spec"]["properties"]["cron"]["description"] == "Minute, hour and so on."
    assert schema["x-kubernetes-selectable-fields"] == [{"fieldPath": "spec.color"}]
    whole = api.get("/openapi/v2").json()
    assert whole["definitions"][model]["properties"]["spec"]["required"] == ["cron"]
    assert f"/apis/{group}/v1/namespaces/{{namespace}}/crontabs/{{name}}/scale" in whole["paths"]


def test_another_apiserver_serves_a_kind_at_once(
    tmp_path: Path, shared_store: Store, server: ApiServer, api: httpx.Client
) -> None:
    other = start_apiserver(tmp_path, shared_store.url, certificates=server.certificates)
    with other, other.http() as second:
        for _ in range(5):
            group = establish(api, definition(scope="Cluster"))
            path = f"/apis/{group}/v1/crontabs"
            assert second.post(path, json=crontab(group, "a")).status_code == 201
            assert api.get(f"{path}/a").status_code == 200
