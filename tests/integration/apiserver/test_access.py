"""Who gets in and what they may do, on a real apiserver with real TLS, and the way to a kubelet."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus
from websockets.typing import Subprotocol

from apiserver.messages import BASE64, BINARY
from component_base.pki import Usage
from serving.host import HttpsServer
from tests.integration.cluster_parts import ApiServer, Certificates, caught_up, start_apiserver, start_store

RBAC = "/apis/rbac.authorization.k8s.io/v1"
NODE_GROUPS = ("system:nodes",)


def bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


def bind(api: httpx.Client, namespace: str, role: str, user: str) -> None:
    body = {
        "metadata": {"name": f"{role}-{user}"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
        "subjects": [{"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": user}],
    }
    answer = api.post(f"{RBAC}/namespaces/{namespace}/rolebindings", json=body)
    assert answer.status_code == 201, answer.text
    caught_up(api)


def token_of(api: httpx.Client, namespace: str, account: str = "default", **spec: Any) -> str:
    path = f"/api/v1/namespaces/{namespace}/serviceaccounts/{account}/token"
    answer = api.post(path, json={"spec": spec})
    assert answer.status_code == 201, answer.text
    token: str = answer.json()["status"]["token"]
    return token


def test_strangers_are_anonymous_and_liars_refused(server: ApiServer) -> None:
    with server.anonymous() as stranger:
        answer = stranger.get("/")
        assert answer.status_code == 403
        assert answer.json()["message"] == 'forbidden: User "system:anonymous" cannot get path "/"'
        assert stranger.get("/healthz").text == "ok"
        assert stranger.get("/version").status_code == 200
        answer = stranger.get("/version", headers=bearer("wrong"))
        assert (answer.status_code, answer.json()["message"]) == (401, "Unauthorized")


def test_users_see_what_their_roles_say(server: ApiServer, api: httpx.Client, namespace: str) -> None:
    path = f"/api/v1/namespaces/{namespace}"
    with server.http("jane", ("dev",)) as jane:
        refused = jane.get(f"{path}/pods")
        assert refused.status_code == 403
        assert refused.json()["message"] == (
            f'pods is forbidden: User "jane" cannot list resource "pods" in API group "" in the namespace "{namespace}"'
        )
        bind(api, namespace, "view", "jane")
        assert jane.get(f"{path}/pods").status_code == 200
        assert jane.get(f"{path}/secrets").status_code == 403
        assert jane.get("/api/v1/pods").status_code == 403


def test_rights_cannot_be_made_up(server: ApiServer, api: httpx.Client, namespace: str) -> None:
    bind(api, namespace, "admin", "joe")
    with server.http("joe", ("dev",)) as joe:
        own = {"metadata": {"name": "own"}, "rules": [{"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}]}
        assert joe.post(f"{RBAC}/namespaces/{namespace}/roles", json=own).status_code == 201
        more = {"metadata": {"name": "more"}, "rules": [{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}]}
        refused = joe.post(f"{RBAC}/namespaces/{namespace}/roles", json=more)
        assert refused.status_code == 403
        assert "is attempting to grant RBAC permissions not currently held" in refused.json()["message"]


def test_accounts_have_tokens(server: ApiServer, api: httpx.Client, namespace: str) -> None:
    token = token_of(api, namespace)
    review = api.post("/apis/authentication.k8s.io/v1/tokenreviews", json={"spec": {"token": token}}).json()
    assert review["status"]["user"]["username"] == f"system:serviceaccount:{namespace}:default"
    with server.anonymous() as client:
        me = client.post("/apis/authentication.k8s.io/v1/selfsubjectreviews", json={}, headers=bearer(token))
        assert me.json()["status"]["userInfo"]["groups"] == [
            "system:serviceaccounts",
            f"system:serviceaccounts:{namespace}",
            "system:authenticated",
        ]
        keys = client.get("/openid/v1/jwks", headers=bearer(token))
        assert keys.json()["keys"][0]["alg"] == "RS256"
        others = [token_of(api, namespace) for _ in range(20)]
        gone = api.delete(f"/api/v1/namespaces/{namespace}/serviceaccounts/default")
        assert gone.status_code == 200, gone.text
        caught_up(api)
        # Each of them is used once: identities are remembered for some seconds.
        assert {client.get("/version", headers=bearer(unused)).status_code for unused in others} == {401}


def test_acting_as_somebody_else(server: ApiServer, api: httpx.Client, namespace: str) -> None:
    headers = {"impersonate-user": "jane", "impersonate-group": "dev"}
    me = api.post("/apis/authentication.k8s.io/v1/selfsubjectreviews", json={}, headers=headers).json()
    assert me["status"]["userInfo"] == {"username": "jane", "groups": ["dev", "system:authenticated"]}
    with server.http("jane", ("dev",)) as jane:
        refused = jane.get(f"/api/v1/namespaces/{namespace}/pods", headers={"impersonate-user": "admin"})
        assert refused.json()["message"] == (
            'users "admin" is forbidden: User "jane" cannot impersonate resource "users" in API group "" '
            "at the cluster scope"
        )


def test_what_one_may_do(server: ApiServer, api: httpx.Client, namespace: str) -> None:
    bind(api, namespace, "view", "ann")
    attributes = {"verb": "list", "resource": "pods", "namespace": namespace}
    with server.http("ann", ()) as ann:
        path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
        answer = ann.post(path, json={"spec": {"resourceAttributes": attributes}}).json()
        assert answer["status"]["allowed"]
        attributes["verb"] = "delete"
        answer = ann.post(path, json={"spec": {"resourceAttributes": attributes}}).json()
        assert not answer["status"]["allowed"]


def test_nodes_keep_to_themselves(server: ApiServer, api: httpx.Client, namespace: str) -> None:
    name = f"node-of-{namespace}"[:60]
    with server.http(f"system:node:{name}", NODE_GROUPS) as node:
        assert node.post("/api/v1/nodes", json={"metadata": {"name": name}}).status_code == 201
        assert node.get("/api/v1/nodes").status_code == 403
        other = node.post("/api/v1/nodes", json={"metadata": {"name": "another"}})
        assert 'is not allowed to modify node "another"' in other.json()["message"]
        secret = f"/api/v1/namespaces/{namespace}/secrets/s"
        api.post(f"/api/v1/namespaces/{namespace}/secrets", json={"metadata": {"name": "s"}})
        assert node.get(secret).status_code == 403
        volumes = [{"name": "v", "secret": {"secretName": "s"}}]
        spec = {"nodeName": name, "containers": [{"name": "c", "image": "i"}], "volumes": volumes}
        made = api.post(f"/api/v1/namespaces/{namespace}/pods", json={"metadata": {"name": "p"}, "spec": spec})
        assert made.status_code == 201, made.text
        caught_up(api)
        assert node.get(secret).status_code == 200
        bound = {"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": made.json()["metadata"]["uid"]}
        assert token_of(node, namespace, boundObjectRef=bound)
        path = f"/api/v1/namespaces/{namespace}/serviceaccounts/default/token"
        assert node.post(path, json={"spec": {}}).status_code == 403


def test_pods_come_out_complete(api: httpx.Client, namespace: str) -> None:
    spec = {"containers": [{"name": "c", "image": "i"}]}
    made = api.post(f"/api/v1/namespaces/{namespace}/pods", json={"metadata": {"name": "p"}, "spec": spec}).json()
    assert made["spec"]["serviceAccountName"] == made["spec"]["serviceAccount"] == "default"
    assert made["spec"]["volumes"][0]["name"].startswith("kube-api-access-")
    assert made["spec"]["priority"] == 0
    assert {one["key"] for one in made["spec"]["tolerations"]} == {
        "node.kubernetes.io/not-ready",
        "node.kubernetes.io/unreachable",
    }


def test_namespaces_guard_what_is_in_them(api: httpx.Client, namespace: str) -> None:
    labels = {"pod-security.kubernetes.io/enforce": "baseline"}
    headers = {"content-type": "application/merge-patch+json"}
    patch = {"metadata": {"labels": labels}}
    assert api.patch(f"/api/v1/namespaces/{namespace}", json=patch, headers=headers).status_code == 200
    spec = {"hostNetwork": True, "containers": [{"name": "c", "image": "i"}]}
    caught_up(api)
    answer = api.post(f"/api/v1/namespaces/{namespace}/pods", json={"metadata": {"name": "p"}, "spec": spec})
    assert answer.status_code == 403
    assert 'violates PodSecurity "baseline:latest": host namespaces (hostNetwork=true)' in answer.json()["message"]
    refused = api.delete("/api/v1/namespaces/default")
    assert refused.json()["message"] == 'namespaces "default" is forbidden: this namespace may not be deleted'


def test_everything_of_a_fresh_cluster_is_there(api: httpx.Client) -> None:
    names = {one["metadata"]["name"] for one in api.get("/api/v1/namespaces").json()["items"]}
    assert names >= {"default", "kube-system", "kube-public", "kube-node-lease"}
    roles = api.get(f"{RBAC}/clusterroles").json()["items"]
    assert len(roles) >= 70
    admin = next(role for role in roles if role["metadata"]["name"] == "admin")
    assert len(admin["rules"]) > 20
    classes = api.get("/apis/scheduling.k8s.io/v1/priorityclasses").json()["items"]
    assert {one["metadata"]["name"] for one in classes} == {"system-cluster-critical", "system-node-critical"}
    trust = api.get("/api/v1/namespaces/kube-system/configmaps/extension-apiserver-authentication").json()
    assert trust["data"]["client-ca-file"].startswith("-----BEGIN CERTIFICATE-----")


class Kubelet:
    """Answers logs, echoes upgraded connections, and believes only the apiserver's certificate."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        assert scope["extensions"]["skiff.tls"]["client_certificate"]
        upgrade = scope["extensions"].get("skiff.upgrade")
        if upgrade is not None:
            reader, writer = await upgrade.hijack()
            writer.write(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n\r\n")
            writer.write(f"{scope['path']}?{scope['query_string'].decode()}\n".encode())
            while data := await reader.read(1000):
                writer.write(data.upper())
            writer.close()
            return
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
        await send({"type": "http.response.body", "body": b"hello from the kubelet\n"})


@pytest.fixture(scope="module")
def joined(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    """An apiserver that may call kubelets."""
    folder: Path = tmp_path_factory.mktemp("joined")
    certificates = Certificates.create(folder / "pki")
    certificates.user("kubelet-client", [])
    pki = certificates.folder
    flags = [
        f"--kubelet-client-certificate={pki / 'kubelet-client.crt'}",
        f"--kubelet-client-key={pki / 'kubelet-client.key'}",
        f"--kubelet-certificate-authority={pki / 'ca.crt'}",
        "--kubelet-preferred-address-types=InternalIP",
        "--enable-bootstrap-token-auth",
    ]
    with start_store(folder) as store, start_apiserver(folder, store.url, *flags, certificates=certificates) as server:
        yield server


async def test_the_way_to_a_kubelet(joined: ApiServer) -> None:
    pki = joined.certificates.folder
    joined.certificates.authority.issue("kubelet", ips=["127.0.0.1"], usages=Usage.SERVER).write(
        pki / "kubelet.crt", pki / "kubelet.key"
    )
    kubelet = HttpsServer(Kubelet(), "127.0.0.1", 0, pki / "kubelet.crt", pki / "kubelet.key", [pki / "ca.crt"])
    await kubelet.start()
    try:
        await asyncio.to_thread(_run_a_pod, joined, kubelet.port)
        assert await asyncio.to_thread(_logs, joined) == "hello from the kubelet\n"
        assert await _logs_in_messages(joined, BINARY) == [b"", b"hello from the kubelet\n"]
        assert await _logs_in_messages(joined, BASE64) == ["", base64.b64encode(b"hello from the kubelet\n").decode()]
        assert await _exec(joined) == (b"/exec/default/p/c?input=1&output=1&command=cat\n", b"ECHO")
    finally:
        await kubelet.stop(0.1)


def _run_a_pod(server: ApiServer, port: int) -> None:
    with server.http() as api:
        api.post("/api/v1/namespaces/default/serviceaccounts", json={"metadata": {"name": "default"}})
        api.post("/api/v1/nodes", json={"metadata": {"name": "n"}})
        endpoint = {"kubeletEndpoint": {"Port": port}}
        status = {"addresses": [{"type": "InternalIP", "address": "127.0.0.1"}], "daemonEndpoints": endpoint}
        headers = {"content-type": "application/merge-patch+json"}
        assert api.patch("/api/v1/nodes/n/status", json={"status": status}, headers=headers).status_code == 200
        spec = {"nodeName": "n", "containers": [{"name": "c", "image": "i"}]}
        made = api.post("/api/v1/namespaces/default/pods", json={"metadata": {"name": "p"}, "spec": spec})
        assert made.status_code == 201, made.text


def _logs(server: ApiServer) -> str:
    with server.http() as api:
        return api.get("/api/v1/namespaces/default/pods/p/log").text


async def _logs_in_messages(server: ApiServer, protocol: str) -> list[bytes | str]:
    url = server.url.replace("https", "wss") + "/api/v1/namespaces/default/pods/p/log"
    async with connect(
        url, ssl=server.tls(), server_hostname="localhost", subprotocols=[Subprotocol(protocol)]
    ) as near:
        assert near.subprotocol == protocol
        return [message async for message in near]


async def test_a_watch_over_a_websocket(joined: ApiServer) -> None:
    url = joined.url.replace("https", "wss") + "/api/v1/namespaces?watch=1&timeoutSeconds=1"
    async with connect(url, ssl=joined.tls(), server_hostname="localhost") as near:
        events = [json.loads(message) async for message in near]
    assert {event["type"] for event in events} == {"ADDED"}
    assert "default" in [event["object"]["metadata"]["name"] for event in events]
    with pytest.raises(InvalidStatus) as refused:
        await connect(f"{url}&resourceVersion=x", ssl=joined.tls(), server_hostname="localhost")
    assert refused.value.response.status_code == 400


async def _exec(server: ApiServer) -> tuple[bytes, bytes]:
    port = int(server.url.rpartition(":")[2])
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=server.tls(), server_hostname="localhost")
    path = "/api/v1/namespaces/default/pods/p/exec?command=cat&stdin=true&stdout=true"
    writer.write(f"POST {path} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n\r\n".encode())
    assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101")
    asked = await reader.readline()
    writer.write(b"echo")
    echoed = await reader.readexactly(4)
    writer.close()
    return asked, echoed


def test_a_new_node_asks_for_its_certificate(joined: ApiServer) -> None:
    fields = {"token-id": "abcdef", "token-secret": "0123456789abcdef", "usage-bootstrap-authentication": "true"}
    data = {key: base64.b64encode(value.encode()).decode() for key, value in fields.items()}
    secret = {"metadata": {"name": "bootstrap-token-abcdef"}, "type": "bootstrap.kubernetes.io/token", "data": data}
    with joined.http() as api, joined.anonymous() as node:
        assert api.post("/api/v1/namespaces/kube-system/secrets", json=secret).status_code == 201
        caught_up(api)
        me = node.post(
            "/apis/authentication.k8s.io/v1/selfsubjectreviews",
            json={},
            headers=bearer("abcdef.0123456789abcdef"),
        )
        assert me.json()["status"]["userInfo"]["username"] == "system:bootstrap:abcdef"
        assert "system:bootstrappers" in me.json()["status"]["userInfo"]["groups"]
