"""Custom kinds whose versions a webhook converts."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.integration.apiserver.conversion_webhook import ConversionWebhook
from tests.integration.apiserver.custom_kinds import (
    DEFINITIONS,
    MERGE,
    collection,
    crontab,
    definition,
    establish,
    version,
)
from tests.integration.cluster_parts import caught_up

JSON = dict[str, Any]
SPECS = {
    "v1": {"type": "object", "properties": {"cron": {"type": "string"}, "color": {"type": "string"}}},
    "v2": {"type": "object", "properties": {"schedule": {"type": "string"}, "color": {"type": "string"}}},
}


@pytest.fixture
def hook(tmp_path: Path) -> Iterator[ConversionWebhook]:
    with ConversionWebhook(tmp_path) as running:
        yield running


def converted(hook: ConversionWebhook) -> JSON:
    """A definition of v1, which is stored, and v2; each can be selected by a field that the other has not."""
    webhook = {"conversionReviewVersions": ["v1"], "clientConfig": hook.client_config}
    versions = [version(name, storage=name == "v1", spec=spec) for name, spec in SPECS.items()]
    versions[0]["selectableFields"] = [{"jsonPath": ".spec.cron"}]
    versions[1]["selectableFields"] = [{"jsonPath": ".spec.schedule"}]
    return definition(*versions, conversion={"strategy": "Webhook", "webhook": webhook})


def test_objects_are_read_and_written_in_both_versions(
    api: httpx.Client, namespace: str, hook: ConversionWebhook
) -> None:
    group = establish(api, converted(hook))
    old, new = collection(group, namespace), collection(group, namespace, "v2")
    assert api.post(old, json=crontab(group, "a", cron="1 * * * *")).status_code == 201
    assert hook.seen == []
    found = api.get(f"{new}/a").json()
    assert (found["apiVersion"], found["spec"]) == (f"{group}/v2", {"schedule": "1 * * * *"})
    assert found["metadata"]["labels"] == {"converted": "yes"}
    assert "finalizers" not in found["metadata"]  # labels and annotations are all that a webhook may change
    request = hook.seen[0]["request"]
    assert (request["desiredAPIVersion"], len(request["objects"])) == (f"{group}/v2", 1)
    written = crontab(group, "b", "v2", schedule="2 * * * *")
    del written["spec"]["cron"]
    assert api.post(new, json=written).json()["spec"] == {"schedule": "2 * * * *"}
    assert api.get(f"{old}/b").json()["spec"] == {"cron": "2 * * * *"}
    listed = api.get(f"{new}?fieldSelector=spec.schedule%3D2+*+*+*+*").json()
    assert [one["metadata"]["name"] for one in listed["items"]] == ["b"]
    assert api.get(f"{new}?fieldSelector=spec.cron%3Dx").status_code == 400
    changed = api.patch(f"{new}/a", json={"spec": {"schedule": "3 * * * *"}}, headers=MERGE)
    assert changed.json()["spec"] == {"schedule": "3 * * * *"}
    assert api.get(f"{old}/a").json()["spec"] == {"cron": "3 * * * *"}
    assert api.delete(f"{new}/a").status_code == 200
    assert api.get(f"{old}/a").status_code == 404


def test_a_watch_in_another_version_sees_all_in_order(
    api: httpx.Client, namespace: str, hook: ConversionWebhook
) -> None:
    group = establish(api, converted(hook))
    old, new = collection(group, namespace), collection(group, namespace, "v2")
    first = api.post(old, json=crontab(group, "a", cron="0")).json()
    for number in range(1, 6):
        api.patch(f"{old}/a", json={"spec": {"cron": str(number)}}, headers=MERGE)
    query = f"{new}?watch=1&resourceVersion={first['metadata']['resourceVersion']}&timeoutSeconds=30"
    with api.stream("GET", query) as stream:
        lines = stream.iter_lines()
        events = [json.loads(next(lines)) for _ in range(5)]
        api.delete(f"{old}/a")
        events.append(json.loads(next(lines)))
    assert [one["type"] for one in events] == ["MODIFIED"] * 5 + ["DELETED"]
    assert [one["object"]["spec"]["schedule"] for one in events] == ["1", "2", "3", "4", "5", "5"]


def test_objects_stored_in_different_versions_are_listed_alike(
    api: httpx.Client, namespace: str, hook: ConversionWebhook
) -> None:
    made = converted(hook)
    group = establish(api, made)
    old, new = collection(group, namespace), collection(group, namespace, "v2")
    api.post(old, json=crontab(group, "a", cron="1"))
    for one in made["spec"]["versions"]:
        one["storage"] = one["name"] == "v2"
    change = {"spec": {"versions": made["spec"]["versions"]}}
    assert api.patch(f"{DEFINITIONS}/{made['metadata']['name']}", json=change, headers=MERGE).status_code == 200
    caught_up(api)
    api.post(old, json=crontab(group, "b", cron="2"))
    for path, field in ((old, "cron"), (new, "schedule")):
        items = api.get(path).json()["items"]
        assert [(one["metadata"]["name"], one["spec"]) for one in items] == [("a", {field: "1"}), ("b", {field: "2"})]


def test_a_webhook_that_refuses_is_quoted(api: httpx.Client, namespace: str, hook: ConversionWebhook) -> None:
    group = establish(api, converted(hook))
    old, new = collection(group, namespace), collection(group, namespace, "v2")
    hook.refusal = "no way"
    api.post(old, json=crontab(group, "a", cron="1"))
    refused = api.get(f"{new}/a")
    assert refused.status_code == 500
    wanted = f"conversion webhook for {group}/v1, Kind=CronTab failed: no way"
    assert wanted in refused.json()["message"]
    assert api.get(new).status_code == 500
    body = {**crontab(group, "b", "v2"), "spec": {}}
    assert api.post(new, json=body).status_code == 500
    assert api.get(f"{old}/a").status_code == 200
    hook.refusal = ""
    assert api.get(f"{new}/a").json()["spec"] == {"schedule": "1"}
