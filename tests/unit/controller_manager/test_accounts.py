"""Accounts, tokens and the root certificate in every namespace."""

import base64
import json
from typing import Any

import jwt
import pytest

from component_base.pki import signing_key_pair
from component_base.rng import seeded
from controller_manager.certificates.root_ca import NAME, RootCaPublisher
from controller_manager.serviceaccount.accounts import ServiceAccountsController
from controller_manager.serviceaccount.tokens import (
    ACCOUNT_NAME,
    ACCOUNT_UID,
    TOKEN_TYPE,
    TokensController,
    TokenSigner,
)
from tests.unit.controller_manager.caches import NOW, THEN, Caches, creates, deletes, patches

NAMESPACES, ACCOUNTS, SECRETS = "/api/v1/namespaces", "/api/v1/serviceaccounts", "/api/v1/secrets"
PRIVATE, PUBLIC = signing_key_pair()


def account(name: str = "default") -> dict[str, Any]:
    return {"metadata": {"name": name, "namespace": "x"}}


def secret(name: str, **data: str) -> dict[str, Any]:
    annotations = {ACCOUNT_NAME: "default", ACCOUNT_UID: "uid-default"}
    meta = {"name": name, "namespace": "x", "annotations": annotations}
    return {"metadata": meta, "type": TOKEN_TYPE, "data": data}


@pytest.fixture
def caches() -> Caches:
    return Caches()


@pytest.fixture
def tokens(caches: Caches) -> TokensController:
    return TokensController(caches.informers, TokenSigner(PRIVATE), b"ROOT", seeded(1))


def test_every_namespace_gets_a_default_account(caches: Caches) -> None:
    controller = ServiceAccountsController(caches.informers)
    caches.put(NAMESPACES, {"metadata": {"name": "x"}})
    (made,) = creates(controller.reconcile("x", NOW))
    assert made.body["metadata"] == {"name": "default", "namespace": "x"}
    caches.put(ACCOUNTS, account())
    assert controller.reconcile("x", NOW).is_empty
    caches.put(NAMESPACES, {"metadata": {"name": "y", "deletionTimestamp": THEN}})
    assert controller.reconcile("y", NOW).is_empty


def test_the_default_account_gets_a_token_that_names_it(caches: Caches, tokens: TokensController) -> None:
    caches.put(ACCOUNTS, account())
    (made,) = creates(tokens.reconcile("x/default", NOW))
    name = made.body["metadata"]["name"]
    assert name.startswith("default-token-")
    data = {key: base64.b64decode(value) for key, value in made.body["data"].items()}
    assert (data["ca.crt"], data["namespace"]) == (b"ROOT", b"x")
    claims = jwt.decode(data["token"], PUBLIC, ["RS256"])
    assert claims["sub"] == "system:serviceaccount:x:default"
    assert claims["kubernetes.io/serviceaccount/secret.name"] == name
    assert claims["kubernetes.io/serviceaccount/service-account.uid"] == "uid-default"
    caches.put(SECRETS, made.body)
    assert tokens.reconcile("x/default", NOW).is_empty


def test_other_accounts_get_none_unasked_but_have_theirs_filled(caches: Caches, tokens: TokensController) -> None:
    caches.put(ACCOUNTS, account("robot"))
    assert tokens.reconcile("x/robot", NOW).is_empty
    wanted = secret("robot-token")
    wanted["metadata"]["annotations"] = {ACCOUNT_NAME: "robot"}
    caches.put(SECRETS, wanted)
    (patch,) = patches(tokens.reconcile("x/robot", NOW))
    assert set(patch.body["data"]) == {"ca.crt", "namespace", "token"}
    assert patch.body["metadata"]["annotations"] == {ACCOUNT_UID: "uid-robot"}


def test_tokens_go_with_their_account(caches: Caches, tokens: TokensController) -> None:
    caches.put(SECRETS, secret("left", token="dA=="))
    assert deletes(tokens.reconcile("x/default", NOW)) == ["left"]
    remade = account()
    remade["metadata"]["uid"] = "another"
    caches.put(ACCOUNTS, remade)
    plan = tokens.reconcile("x/default", NOW)
    assert deletes(plan) == ["left"], "an account made again is another one"
    assert len(creates(plan)) == 1


def test_a_new_root_certificate_reaches_old_tokens(caches: Caches, tokens: TokensController) -> None:
    caches.put(ACCOUNTS, account())
    caches.put(SECRETS, secret("old", **{"token": "dA==", "namespace": "eA==", "ca.crt": "b2xk"}))
    (patch,) = patches(tokens.reconcile("x/default", NOW))
    assert base64.b64decode(patch.body["data"]["ca.crt"]) == b"ROOT"
    assert "token" not in patch.body["data"], "a token in use stays"


def test_the_root_certificate_is_published_and_kept(caches: Caches) -> None:
    controller = RootCaPublisher(caches.informers, "PEM")
    caches.put(NAMESPACES, {"metadata": {"name": "x"}})
    (made,) = creates(controller.reconcile("x", NOW))
    assert (made.body["metadata"]["name"], made.body["data"]) == (NAME, {"ca.crt": "PEM"})
    caches.put("/api/v1/configmaps", made.body)
    assert controller.reconcile("x", NOW).is_empty
    caches.put("/api/v1/configmaps", {**made.body, "data": {"ca.crt": "forged", "more": "x"}})
    (patch,) = patches(controller.reconcile("x", NOW))
    assert json.dumps(patch.body["data"]) == '{"ca.crt": "PEM", "more": null}'
