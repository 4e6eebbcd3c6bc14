"""The audit log of a real apiserver: who is named, which stages there are, what bodies are written, and of what not."""

from __future__ import annotations

import json
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.integration.cluster_parts import ApiServer, Store, start_apiserver

JSON = dict[str, Any]
POLICY = """
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- {level: None, nonResourceURLs: ["/healthz*", "/readyz*", "/version"]}
- {level: Metadata, resources: [{group: "", resources: [secrets]}]}
- {level: RequestResponse, omitManagedFields: true, resources: [{group: "", resources: [configmaps]}]}
- {level: Request, resources: [{group: "", resources: [services]}]}
- {level: Metadata, omitStages: [], verbs: [watch, get, list, create]}
"""


class Log:
    """Of one apiserver; requests are told apart by the id that the test gives them."""

    def __init__(self, server: ApiServer, path: Path) -> None:
        self.server = server
        self.path = path

    def events(self) -> list[JSON]:
        return [json.loads(line) for line in self.path.read_bytes().splitlines()]

    def of(self, audit_id: str, count: int = 1) -> list[JSON]:
        """The Events of a request, which are written after its answer."""
        deadline = time.monotonic() + 30
        while True:
            found = [event for event in self.events() if event["auditID"] == audit_id]
            if len(found) >= count or time.monotonic() > deadline:
                assert len(found) == count, found
                return found
            time.sleep(0.01)


@pytest.fixture(scope="module")
def audit_log(tmp_path_factory: pytest.TempPathFactory, shared_store: Store) -> Iterator[Log]:
    folder = tmp_path_factory.mktemp("audited")
    policy, path = folder / "policy.yaml", folder / "log" / "audit.log"
    policy.write_text(POLICY)
    flags = (f"--audit-policy-file={policy}", f"--audit-log-path={path}")
    with start_apiserver(folder, shared_store.url, *flags) as running:
        yield Log(running, path)


@pytest.fixture
def client(audit_log: Log) -> Iterator[httpx.Client]:
    with audit_log.server.http("alice", ("system:masters", "writers")) as found:
        yield found


def marked(name: str, **more: str) -> dict[str, str]:
    return {"audit-id": name, **more}


def test_an_event_says_who_asked_for_what_and_what_came_of_it(audit_log: Log, client: httpx.Client) -> None:
    body = {"metadata": {"name": "audited-1"}, "stringData": {"password": "hunter2"}}
    headers = marked("create-secret", **{"user-agent": "probe/1", "x-forwarded-for": "192.0.2.7, nonsense"})
    answer = client.post("/api/v1/namespaces/default/secrets?fieldManager=me", json=body, headers=headers)
    assert answer.status_code == 201
    assert answer.headers["audit-id"] == "create-secret"
    (event,) = audit_log.of("create-secret")
    assert list(event)[:6] == ["kind", "apiVersion", "level", "auditID", "stage", "requestURI"]
    assert (event["kind"], event["apiVersion"]) == ("Event", "audit.k8s.io/v1")
    assert (event["level"], event["stage"], event["verb"]) == ("Metadata", "ResponseComplete", "create")
    assert event["requestURI"] == "/api/v1/namespaces/default/secrets?fieldManager=me"
    assert event["user"] == {
        "username": "alice",
        "groups": ["system:masters", "writers", "system:authenticated"],
        **{key: value for key, value in event["user"].items() if key == "extra"},
    }
    assert event["sourceIPs"] == ["192.0.2.7", "127.0.0.1"]
    assert event["userAgent"] == "probe/1"
    reference = {"resource": "secrets", "namespace": "default", "name": "audited-1", "apiVersion": "v1"}
    assert event["objectRef"] == reference
    assert event["responseStatus"] == {"metadata": {}, "code": 201}
    assert event["annotations"]["authorization.k8s.io/decision"] == "allow"
    assert event["requestReceivedTimestamp"] <= event["stageTimestamp"]
    assert "hunter2" not in audit_log.path.read_text()


def test_bodies_are_written_at_their_level_and_without_managed_fields(audit_log: Log, client: httpx.Client) -> None:
    path = "/api/v1/namespaces/default/configmaps"
    answer = client.post(path, json={"metadata": {"name": "audited-2"}, "data": {"a": "b"}}, headers=marked("create"))
    assert answer.json()["metadata"]["managedFields"]
    (event,) = audit_log.of("create")
    assert event["requestObject"]["data"] == {"a": "b"}
    assert event["responseObject"]["metadata"]["uid"] == answer.json()["metadata"]["uid"]
    assert "managedFields" not in event["responseObject"]["metadata"]
    client.get(path, params={"pretty": "true"}, headers=marked("list"))
    (event,) = audit_log.of("list")
    assert "requestObject" not in event
    assert all("managedFields" not in item["metadata"] for item in event["responseObject"]["items"])
    assert "audited-2" in [item["metadata"]["name"] for item in event["responseObject"]["items"]]
    protobuf = {"accept": "application/vnd.kubernetes.protobuf"}
    client.get(path, headers=marked("list-protobuf", **protobuf))
    (event,) = audit_log.of("list-protobuf")
    assert "audited-2" in [item["metadata"]["name"] for item in event["responseObject"]["items"]]


@pytest.mark.parametrize(
    ("name", "content_type", "body", "written"),
    [
        (
            "json",
            "application/json-patch+json",
            '[{"op":"remove",\n"path":"/data"}]',
            [{"op": "remove", "path": "/data"}],
        ),
        ("merge", "application/merge-patch+json", '{"data":{"x":"y"}}', {"data": {"x": "y"}}),
        ("broken", "application/merge-patch+json", '{"data":\n{"kind":"Event"', None),
    ],
)
def test_a_patch_is_written_as_json(
    audit_log: Log, client: httpx.Client, name: str, content_type: str, body: str, written: Any
) -> None:
    client.post("/api/v1/namespaces/default/configmaps", json={"metadata": {"name": name}, "data": {"a": "b"}})
    headers = marked(f"patch-{name}", **{"content-type": content_type})
    client.patch(f"/api/v1/namespaces/default/configmaps/{name}", content=body, headers=headers)
    (event,) = audit_log.of(f"patch-{name}")
    assert event.get("requestObject") == written


def test_an_applied_configuration_and_options_of_a_deletion_are_bodies(audit_log: Log, client: httpx.Client) -> None:
    path = "/api/v1/namespaces/default/configmaps/applied"
    headers = marked("apply", **{"content-type": "application/apply-patch+yaml"})
    text = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: applied}\ndata: {a: b}\n"
    assert client.patch(path, content=text, params={"fieldManager": "m"}, headers=headers).status_code == 201
    assert audit_log.of("apply")[0]["requestObject"]["data"] == {"a": "b"}
    options = {"kind": "DeleteOptions", "apiVersion": "v1", "gracePeriodSeconds": 3}
    assert client.request("DELETE", path, json=options, headers=marked("delete")).status_code == 200
    (event,) = audit_log.of("delete")
    assert event["requestObject"]["gracePeriodSeconds"] == 3
    assert event["responseStatus"]["status"] == "Success"


def test_a_refusal_is_told_with_its_reason(audit_log: Log) -> None:
    with audit_log.server.http("bob", ()) as bob:
        assert bob.get("/api/v1/namespaces/default/secrets/x", headers=marked("refused")).status_code == 403
    (event,) = audit_log.of("refused")
    status = event["responseStatus"]
    assert (status["status"], status["reason"], status["code"]) == ("Failure", "Forbidden", 403)
    assert "bob" in status["message"]
    assert event["annotations"]["authorization.k8s.io/decision"] == "forbid"


def test_who_cannot_be_told_is_nobody_and_gets_one_event(audit_log: Log) -> None:
    with audit_log.server.anonymous() as stranger:
        headers = marked("stranger", authorization="Bearer of-nothing")
        assert stranger.get("/api/v1/namespaces/default/secrets", headers=headers).status_code == 401
    (event,) = audit_log.of("stranger")
    assert event["user"] == {}
    assert (event["stage"], event["responseStatus"]["code"]) == ("ResponseStarted", 401)
    assert "of-nothing" not in audit_log.path.read_text()


def test_impersonation_names_both(audit_log: Log, client: httpx.Client) -> None:
    headers = marked("acting", **{"impersonate-user": "carol", "impersonate-group": "readers"})
    assert client.get("/api/v1/namespaces/default/secrets", headers=headers).status_code == 403
    (event,) = audit_log.of("acting")
    assert event["user"]["username"] == "alice"
    assert event["impersonatedUser"] == {"username": "carol", "groups": ["readers", "system:authenticated"]}


def test_a_watch_has_an_event_when_it_begins_and_one_when_it_ends(audit_log: Log, client: httpx.Client) -> None:
    path = "/api/v1/namespaces/default/pods"
    with client.stream("GET", path, params={"watch": "1", "timeoutSeconds": "60"}, headers=marked("watching")):
        (event,) = audit_log.of("watching")
        assert (event["stage"], event["verb"], event["responseStatus"]["code"]) == ("ResponseStarted", "watch", 200)
    started, ended = audit_log.of("watching", 2)
    assert ended["stage"] == "ResponseComplete"
    assert started["requestReceivedTimestamp"] == ended["requestReceivedTimestamp"]


def test_what_the_policy_leaves_out_is_not_written(audit_log: Log, client: httpx.Client) -> None:
    client.get("/version", headers=marked("version"))
    client.delete("/api/v1/namespaces/default/pods/none", headers=marked("no-rule"))
    client.get("/apis", headers=marked("last"))
    assert audit_log.of("last")[0]["requestURI"] == "/apis"
    assert {"version", "no-rule"}.isdisjoint(event["auditID"] for event in audit_log.events())


def test_the_log_is_for_its_owner_alone(audit_log: Log) -> None:
    assert stat.S_IMODE(audit_log.path.stat().st_mode) == 0o600


def test_metrics_count_requests_by_level(audit_log: Log, client: httpx.Client) -> None:
    client.get("/apis")
    text = client.get("/metrics").text
    assert 'apiserver_audit_level_total{level="Metadata"}' in text
    assert "apiserver_audit_event_total" in text


def test_admission_leaves_annotations(audit_log: Log, client: httpx.Client) -> None:
    labels = {"pod-security.kubernetes.io/audit": "restricted"}
    assert client.post("/api/v1/namespaces", json={"metadata": {"name": "audited-pods", "labels": labels}})
    account = {"metadata": {"name": "default"}}
    client.post("/api/v1/namespaces/audited-pods/serviceaccounts", json=account)
    pod = {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    answer = client.post("/api/v1/namespaces/audited-pods/pods", json=pod, headers=marked("pod"))
    assert answer.status_code == 201, answer.text
    (event,) = audit_log.of("pod")
    assert event["annotations"]["pod-security.kubernetes.io/enforce-policy"] == "privileged:latest"
    violations = event["annotations"]["pod-security.kubernetes.io/audit-violations"]
    assert violations.startswith('would violate PodSecurity "restricted:latest": allowPrivilegeEscalation')
