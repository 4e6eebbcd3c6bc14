"""Priority and fairness over HTTP: classification, headers, refusal, and the objects' conditions."""

from __future__ import annotations

import base64
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from tests.integration.apiserver.test_verbs import config_map
from tests.integration.cluster_parts import ApiServer, caught_up
from tests.integration.https_server import Answer, HttpsServer, Request

JSON = dict[str, Any]
FLOWS = "/apis/flowcontrol.apiserver.k8s.io/v1"
USER = "crowd"


def until(check: Callable[[], Any]) -> Any:
    end = time.monotonic() + 60.0
    while not (found := check()):
        assert time.monotonic() < end, "it did not come about in time"
        time.sleep(0.05)
    return found


def dangling(api: httpx.Client, name: str) -> str:
    conditions = (api.get(f"{FLOWS}/flowschemas/{name}").json().get("status") or {}).get("conditions") or [{}]
    return str(conditions[0].get("reason", ""))


@pytest.fixture
def level(api: httpx.Client) -> Iterator[tuple[str, str]]:
    """A level without shares, where one request at a time is all, for one user; (uid of the schema, of the level)."""
    rules = {
        "subjects": [{"kind": "User", "user": {"name": USER}}],
        "resourceRules": [
            {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"], "namespaces": ["*"], "clusterScope": True}
        ],
        "nonResourceRules": [{"verbs": ["*"], "nonResourceURLs": ["*"]}],
    }
    spec = {"priorityLevelConfiguration": {"name": "narrow"}, "matchingPrecedence": 7, "rules": [rules]}
    schema = api.post(f"{FLOWS}/flowschemas", json={"metadata": {"name": "crowd"}, "spec": spec}).json()
    assert until(lambda: dangling(api, "crowd")) == "NotFound"
    limited = {"nominalConcurrencyShares": 0, "lendablePercent": 0, "borrowingLimitPercent": 0}
    limited["limitResponse"] = {"type": "Reject"}  # type: ignore[assignment]
    body = {"metadata": {"name": "narrow"}, "spec": {"type": "Limited", "limited": limited}}
    made = api.post(f"{FLOWS}/prioritylevelconfigurations", json=body)
    assert made.status_code == 201, made.text
    until(lambda: dangling(api, "crowd") == "Found")
    subject = {"kind": "User", "name": USER, "apiGroup": "rbac.authorization.k8s.io"}
    role = {"kind": "ClusterRole", "name": "cluster-admin", "apiGroup": "rbac.authorization.k8s.io"}
    binding = {"metadata": {"name": USER}, "roleRef": role, "subjects": [subject]}
    bindings = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings"
    assert api.post(bindings, json=binding).status_code == 201
    caught_up(api)
    yield schema["metadata"]["uid"], made.json()["metadata"]["uid"]
    api.delete(f"{FLOWS}/flowschemas/crowd")
    api.delete(f"{FLOWS}/prioritylevelconfigurations/narrow")
    api.delete(f"{bindings}/{USER}")


def test_requests_are_classified(server: ApiServer, api: httpx.Client, level: tuple[str, str]) -> None:
    exempt = api.get(f"{FLOWS}/flowschemas/exempt").json()["metadata"]["uid"]
    assert api.get("/api/v1/nodes").headers["x-kubernetes-pf-flowschema-uid"] == exempt
    with server.http(USER, ()) as client:
        answer = client.get("/api/v1/namespaces/default/configmaps")
        assert answer.status_code == 200
        assert answer.headers["x-kubernetes-pf-flowschema-uid"] == level[0]
        assert answer.headers["x-kubernetes-pf-prioritylevel-uid"] == level[1]
        api.delete(f"{FLOWS}/prioritylevelconfigurations/narrow")
        until(lambda: dangling(api, "crowd") == "NotFound")
        answer = client.get("/api/v1/namespaces/default/configmaps")
        assert answer.headers["x-kubernetes-pf-flowschema-uid"] != level[0]


def test_what_is_too_much_is_refused(
    server: ApiServer, api: httpx.Client, namespace: str, level: tuple[str, str]
) -> None:
    release, asked = threading.Event(), threading.Event()

    def slow(request: Request) -> Answer:
        asked.set()
        release.wait(30)
        response = {"uid": request.object["request"]["uid"], "allowed": True}
        return Answer(200, {"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1", "response": response})

    path = f"/api/v1/namespaces/{namespace}/configmaps"
    with HttpsServer(slow) as webhook, server.http(USER, ()) as client, ThreadPoolExecutor(1) as pool:
        rule = {"apiGroups": [""], "apiVersions": ["*"], "operations": ["CREATE"], "resources": ["configmaps"]}
        hook = {
            "name": "slow.example.org",
            "clientConfig": {"url": webhook.url, "caBundle": base64.b64encode(webhook.authority).decode()},
            "rules": [rule],
            "sideEffects": "None",
            "admissionReviewVersions": ["v1"],
            "timeoutSeconds": 30,
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}},
        }
        hooks = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations"
        assert api.post(hooks, json={"metadata": {"name": "slow"}, "webhooks": [hook]}).status_code == 201
        caught_up(api)
        try:
            busy = pool.submit(client.post, path, json=config_map("a"))
            assert asked.wait(20)
            refused = client.get(path)
            assert refused.status_code == 429
            assert refused.text == "Too many requests, please try again later.\n"
            assert refused.headers["retry-after"] == "1"
            assert refused.headers["x-kubernetes-pf-flowschema-uid"] == level[0]
            assert api.get(path).status_code == 200  # others go on
        finally:
            release.set()
        assert busy.result(20).status_code == 201
        assert client.get(path).status_code == 200
        api.delete(f"{hooks}/slow")
        metrics = api.get("/metrics").text
        labels = 'flow_schema="crowd",priority_level="narrow",reason="concurrency-limit"'
        labels_too = 'priority_level="narrow",flow_schema="crowd",reason="concurrency-limit"'
        name = "apiserver_flowcontrol_rejected_requests_total"
        assert f"{name}{{{labels}}} 1.0" in metrics or f"{name}{{{labels_too}}} 1.0" in metrics


def test_a_watch_gives_its_seat_back_once_it_has_begun(server: ApiServer, level: tuple[str, str]) -> None:
    del level
    path = "/api/v1/namespaces/default/configmaps"
    with (
        server.http(USER, ()) as client,
        client.stream("GET", path, params={"watch": "1", "timeoutSeconds": 30}) as one,
    ):
        assert one.status_code == 200
        assert client.get(path).status_code == 200


def test_objects_that_must_be_there_come_back(api: httpx.Client) -> None:
    path = f"{FLOWS}/prioritylevelconfigurations/catch-all"
    uid = api.get(path).json()["metadata"]["uid"]
    api.delete(path)
    until(lambda: (found := api.get(path)).status_code == 200 and found.json()["metadata"]["uid"] != uid)
