"""Lists, pages, selectors and watches."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import orjson

from tests.integration.apiserver.test_verbs import config_map, pod


def fill(api: httpx.Client, namespace: str, count: int) -> str:
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    for number in range(count):
        body = config_map(f"c-{number:02}") | {"metadata": {"name": f"c-{number:02}", "labels": {"n": str(number % 2)}}}
        assert api.post(path, json=body).status_code == 201
    return path


def names(answer: httpx.Response) -> list[str]:
    return [item["metadata"]["name"] for item in answer.json()["items"]]


def test_pages_are_of_one_revision(api: httpx.Client, namespace: str) -> None:
    path = fill(api, namespace, 7)
    first = api.get(path, params={"limit": 3}).json()
    assert first["metadata"]["remainingItemCount"] == 4
    api.delete(f"{path}/c-05")
    api.post(path, json=config_map("c-04a"))
    second = api.get(path, params={"limit": 3, "continue": first["metadata"]["continue"]}).json()
    third = api.get(path, params={"limit": 3, "continue": second["metadata"]["continue"]}).json()
    found = [item["metadata"]["name"] for page in (first, second, third) for item in page["items"]]
    assert found == [f"c-{number:02}" for number in range(7)]
    revisions = {page["metadata"]["resourceVersion"] for page in (first, second, third)}
    assert len(revisions) == 1
    assert "continue" not in third["metadata"]
    assert api.get(path, params={"continue": "nonsense"}).status_code == 400


def test_pages_with_selectors(api: httpx.Client, namespace: str) -> None:
    path = fill(api, namespace, 9)
    first = api.get(path, params={"limit": 2, "labelSelector": "n=1"}).json()
    assert "remainingItemCount" not in first["metadata"]
    api.post(path, json=config_map("zz"))
    rest = api.get(path, params={"labelSelector": "n=1", "continue": first["metadata"]["continue"]})
    assert names(rest) == ["c-05", "c-07"]


def test_selectors(api: httpx.Client, namespace: str) -> None:
    path = f"/api/v1/namespaces/{namespace}/pods"
    api.post(path, json=pod("a"))
    api.post(path, json=pod("b", nodeName="n1"))
    assert names(api.get(path, params={"labelSelector": "app in (a,c)"})) == ["a"]
    assert names(api.get(path, params={"fieldSelector": "spec.nodeName=n1"})) == ["b"]
    assert names(api.get(path, params={"fieldSelector": "spec.nodeName!=n1,status.phase=Pending"})) == ["a"]
    assert names(api.get("/api/v1/pods", params={"fieldSelector": f"metadata.namespace={namespace}"})) == ["a", "b"]
    unknown = api.get(path, params={"fieldSelector": "spec.color=red"})
    assert unknown.status_code == 400
    assert unknown.json()["message"] == "field label not supported: spec.color"
    assert api.get(path, params={"labelSelector": "a=="}).status_code == 200
    assert api.get(path, params={"labelSelector": "a in"}).status_code == 400


def test_exact_and_future_revisions(api: httpx.Client, namespace: str) -> None:
    path = fill(api, namespace, 2)
    before = api.get(path).json()["metadata"]["resourceVersion"]
    api.delete(f"{path}/c-00")
    old = api.get(path, params={"resourceVersion": before, "resourceVersionMatch": "Exact"})
    assert names(old) == ["c-00", "c-01"]
    assert names(api.get(path, params={"resourceVersion": before})) == ["c-01"]
    future = api.get(path, params={"resourceVersion": "99999999"})
    assert future.status_code == 504
    assert future.json()["details"]["causes"][0]["reason"] == "ResourceVersionTooLarge"
    assert api.get(path, params={"resourceVersion": "x"}).status_code == 400
    assert api.get(path, params={"resourceVersionMatch": "Exact"}).status_code == 422


def events(api: httpx.Client, path: str, **query: str) -> Iterator[dict[str, Any]]:
    with api.stream("GET", path, params={"watch": "1", "timeoutSeconds": "3", **query}) as answer:
        assert answer.status_code == 200, answer.read()
        for line in answer.iter_lines():
            yield orjson.loads(line)


def test_a_watch_from_a_revision(api: httpx.Client, namespace: str) -> None:
    path = fill(api, namespace, 1)
    start = api.get(path).json()["metadata"]["resourceVersion"]
    api.post(path, json=config_map("x", a="1"))
    api.put(f"{path}/x", json=config_map("x", a="2"))
    api.delete(f"{path}/x")
    seen = events(api, path, resourceVersion=start)
    found = [next(seen) for _ in range(3)]
    assert [one["type"] for one in found] == ["ADDED", "MODIFIED", "DELETED"]
    assert found[2]["object"]["data"] == {"a": "2"}
    revisions = [int(one["object"]["metadata"]["resourceVersion"]) for one in found]
    assert revisions == sorted(revisions)
    assert len(set(revisions)) == 3


def test_selections_are_entered_and_left(api: httpx.Client, namespace: str) -> None:
    path = fill(api, namespace, 1)
    start = api.get(path).json()["metadata"]["resourceVersion"]
    headers = {"content-type": "application/merge-patch+json"}
    api.patch(f"{path}/c-00", json={"metadata": {"labels": {"pick": "me"}}}, headers=headers)
    api.patch(f"{path}/c-00", json={"data": {"a": "1"}}, headers=headers)
    last = api.patch(f"{path}/c-00", json={"metadata": {"labels": {"pick": None}}}, headers=headers).json()
    seen = events(api, path, resourceVersion=start, labelSelector="pick=me")
    found = [next(seen) for _ in range(3)]
    assert [one["type"] for one in found] == ["ADDED", "MODIFIED", "DELETED"]
    assert found[2]["object"]["metadata"]["labels"]["pick"] == "me"
    assert found[2]["object"]["metadata"]["resourceVersion"] == last["metadata"]["resourceVersion"]


def test_a_streamed_list_ends_in_its_bookmark(api: httpx.Client, namespace: str) -> None:
    path = fill(api, namespace, 3)
    query = {"sendInitialEvents": "true", "resourceVersionMatch": "NotOlderThan", "allowWatchBookmarks": "true"}
    seen = events(api, path, **query)
    found = [next(seen) for _ in range(4)]
    assert [one["type"] for one in found] == ["ADDED"] * 3 + ["BOOKMARK"]
    assert found[3]["object"]["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}
    refused = api.get(path, params={"watch": "1", "sendInitialEvents": "true"})
    assert refused.status_code == 422


def test_a_watch_ends_in_time_with_a_bookmark(api: httpx.Client, namespace: str) -> None:
    path = fill(api, namespace, 1)
    found = list(events(api, path, resourceVersion="0", allowWatchBookmarks="true", timeoutSeconds="1"))
    assert [one["type"] for one in found] == ["ADDED", "BOOKMARK", "BOOKMARK"]
    first, last = (one["object"]["metadata"] for one in found[1:])
    assert first["annotations"] == {"k8s.io/initial-events-end": "true"}  # it began with the state
    assert "annotations" not in last


def test_a_watched_table_tells_its_columns_once(api: httpx.Client, namespace: str) -> None:
    path = fill(api, namespace, 2)
    accept = {"accept": "application/json;as=Table;v=v1;g=meta.k8s.io"}
    with api.stream("GET", path, params={"watch": "1", "timeoutSeconds": "1"}, headers=accept) as answer:
        found = [orjson.loads(line)["object"] for line in answer.iter_lines()]
    assert found[0]["columnDefinitions"]
    assert found[1]["columnDefinitions"] is None


def test_a_table_with_what_there_is_not(api: httpx.Client, namespace: str) -> None:
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    table = {"accept": "application/json;as=Table;v=v1;g=meta.k8s.io"}
    refused = api.get(path, params={"includeObject": "Some"}, headers=table)
    assert (refused.status_code, refused.json()["message"]) == (
        400,
        'Unable to convert to Table as requested: includeObject: Invalid value: "Some": '
        "must be 'Metadata', 'Object', 'None', or empty",
    )
    assert api.get(path, params={"includeObject": "Some"}).status_code == 200  # nobody asked for a table
