"""Expired tokens go; the others sign cluster-info so that kubeadm's discovery would accept it."""

from __future__ import annotations

import base64
import json
from typing import Any

import httpx
import jwt
import pytest

from apimachinery import timestamps
from controller_manager import catalog
from controller_manager.bootstrap_tokens import CLUSTER_INFO, BootstrapSigner, TokenCleaner
from kubeclient.kubeconfig import KubeConfig
from kubeclient.rest import RestClient
from tests.unit.controller_manager.caches import NOW, Caches, deletes

INFO = {"metadata": {"name": "cluster-info", "namespace": "kube-public"}, "data": {"kubeconfig": "the content"}}


def secret(identifier: str, end: str | None = None, signs: bool = True, kind: str = "token") -> dict[str, Any]:
    data = {"token-id": identifier, "token-secret": "0123456789abcdef", "usage-bootstrap-signing": str(signs).lower()}
    if end is not None:
        data["expiration"] = end
    return {
        "metadata": {"name": f"bootstrap-token-{identifier}", "namespace": "kube-system", "uid": identifier},
        "type": f"bootstrap.kubernetes.io/{kind}",
        "data": {key: base64.b64encode(text.encode()).decode() for key, text in data.items()},
    }


def signed(caches: Caches, stored: dict[str, Any]) -> tuple[BootstrapSigner, list[dict[str, Any]]]:
    """A signer, and the ConfigMaps it has written."""
    written: list[dict[str, Any]] = []

    def answer(request: httpx.Request) -> httpx.Response:
        if request.method == "PUT":
            written.append(json.loads(request.content))
        return httpx.Response(200, json=stored)

    client = RestClient(KubeConfig("http://apiserver"), transport=httpx.MockTransport(answer))
    return BootstrapSigner(caches.informers, client), written


@pytest.mark.parametrize(
    ("body", "goes"),
    [
        (secret("aaaaaa", timestamps.format(NOW - 1)), True),
        (secret("aaaaaa", "yesterday"), True),
        (secret("aaaaaa", timestamps.format(NOW + 60)), False),
        (secret("aaaaaa"), False),
        (secret("aaaaaa", timestamps.format(NOW - 1), kind="other"), False),
    ],
)
def test_expired_tokens_are_removed(body: dict[str, Any], goes: bool) -> None:
    caches = Caches()
    caches.put("/api/v1/secrets", body)
    plan = TokenCleaner(caches.informers).reconcile("kube-system/bootstrap-token-aaaaaa", NOW)
    assert deletes(plan) == (["bootstrap-token-aaaaaa"] if goes else [])


def test_a_token_is_looked_at_again_when_it_ends() -> None:
    caches = Caches()
    caches.put("/api/v1/secrets", secret("aaaaaa", timestamps.format(NOW + 60)))
    assert TokenCleaner(caches.informers).reconcile("kube-system/bootstrap-token-aaaaaa", NOW).requeue_after == 60


# A token's secret half has 16 letters; the layout is kubeadm's.
@pytest.mark.filterwarnings("ignore::jwt.warnings.InsecureKeyLengthWarning")
async def test_every_token_for_signing_signs_the_content() -> None:
    caches = Caches()
    stored = caches.put("/api/v1/configmaps", INFO)
    caches.put("/api/v1/secrets", secret("aaaaaa", timestamps.format(NOW + 60)))
    caches.put("/api/v1/secrets", secret("bbbbbb", signs=False))
    caches.put("/api/v1/secrets", secret("cccccc", timestamps.format(NOW - 60)))
    signer, written = signed(caches, stored)
    assert await signer.sync(CLUSTER_INFO, NOW) == 60
    assert sorted(written[0]["data"]) == ["jws-kubeconfig-aaaaaa", "kubeconfig"]
    header, nothing, tail = written[0]["data"]["jws-kubeconfig-aaaaaa"].split(".")
    assert nothing == ""
    payload = base64.urlsafe_b64encode(b"the content").rstrip(b"=").decode()
    checked = jwt.api_jws.decode(f"{header}.{payload}.{tail}", "0123456789abcdef", algorithms=["HS256"])
    assert checked == b"the content"


async def test_signatures_of_tokens_that_are_gone_are_removed_and_good_ones_left_alone() -> None:
    caches = Caches()
    stored = caches.put("/api/v1/configmaps", {**INFO, "data": {**INFO["data"], "jws-kubeconfig-dddddd": "old"}})
    signer, written = signed(caches, stored)
    assert await signer.sync(CLUSTER_INFO, NOW) is None
    assert written[0]["data"] == {"kubeconfig": "the content"}
    caches.put("/api/v1/configmaps", written[0])
    await signer.sync(CLUSTER_INFO, NOW)
    assert len(written) == 1


def test_both_run_only_when_they_are_named() -> None:
    both = {"bootstrap-signer-controller", "token-cleaner-controller"}
    assert not both & set(catalog.chosen(("*",)))
    assert both <= set(catalog.chosen(("*", *both)))
    assert len(catalog.chosen(("*", *both))) == len(catalog.ENTRIES)
