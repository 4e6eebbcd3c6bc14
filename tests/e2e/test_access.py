"""Who may what: the classic recipe for a bearer token, no token, a wrong one."""

from __future__ import annotations

import json

from tests.e2e.cluster import Cluster, Kubectl, eventually

RECIPE = """
set -o pipefail
TOKEN=$(kubectl describe secret -n kube-system $(kubectl get secrets -n kube-system | grep default | cut -f1 -d ' ') | grep -E '^token' | cut -f2 -d':' | tr -d '\\t' | tr -d " ")
APISERVER=$(kubectl config view | grep https | cut -f 2- -d ":" | tr -d " ")
curl -s -w '\\n%{http_code}' $APISERVER%PATH% --header "Authorization: Bearer $TOKEN" --insecure
"""  # noqa: E501 - it is the recipe, word for word


def follow_recipe(kubectl: Kubectl, path: str = "") -> tuple[int, str]:
    script = RECIPE.replace("kubectl", str(kubectl.program)).replace("%PATH%", path)
    body, _, code = kubectl.cluster.run("bash", "-c", script).stdout.rpartition("\n")
    return int(code), body


def plain(cluster: Cluster, kubectl: Kubectl, *headers: str) -> tuple[int, str]:
    server = kubectl.json("config", "view")["clusters"][0]["cluster"]["server"]
    arguments = [part for header in headers for part in ("-H", header)]
    body, _, code = cluster.run("curl", "-sk", "-w", "\n%{http_code}", server, *arguments).stdout.rpartition("\n")
    return int(code), body


def test_the_classic_recipe_lists_the_paths_of_the_api(kubectl: Kubectl) -> None:
    code, body = eventually(lambda: follow_recipe(kubectl), "the token's Secret is filled")
    assert code == 200
    assert {"/api", "/apis/apps/v1", "/version"} <= set(json.loads(body)["paths"])


def test_that_account_reads_but_changes_nothing_and_sees_no_secrets(kubectl: Kubectl) -> None:
    assert follow_recipe(kubectl, "/api/v1/namespaces/default/pods")[0] == 200
    code, body = follow_recipe(kubectl, "/api/v1/namespaces/kube-system/secrets")
    assert code == 403
    assert (
        'User "system:serviceaccount:kube-system:default" cannot list resource "secrets"' in json.loads(body)["message"]
    )


def test_without_a_token_one_is_anonymous_and_forbidden(cluster: Cluster, newest: Kubectl) -> None:
    code, body = plain(cluster, newest)
    assert code == 403
    assert 'User "system:anonymous" cannot get path "/"' in json.loads(body)["message"]


def test_a_wrong_token_is_refused(cluster: Cluster, newest: Kubectl) -> None:
    code, body = plain(cluster, newest, "Authorization: Bearer wrong")
    assert code == 401
    assert json.loads(body)["reason"] == "Unauthorized"


def test_every_service_has_an_identity_of_its_own(newest: Kubectl) -> None:
    """None of them is in system:masters: what a service may do can be asked."""
    for user, verb, resource, allowed in (
        ("system:kube-scheduler", "create", "pods --subresource=binding", "yes"),
        ("system:kube-scheduler", "delete", "secrets", "no"),
        ("system:kube-proxy", "list", "endpointslices", "yes"),
        ("system:kube-proxy", "list", "secrets", "no"),
        ("system:cluster-dns", "list", "services", "yes"),
        ("system:cluster-dns", "get", "secrets", "no"),
    ):
        answer = newest("auth", "can-i", verb, *resource.split(), f"--as={user}", "-A", check=False).stdout.strip()
        assert answer == allowed, (user, verb, resource)
