"""Tokens as Secrets: what the apiserver's authenticator reads, and durations as people write them."""

from __future__ import annotations

import pytest

from component_base.rng import seeded
from skiff.cluster import addons, bootstrap_tokens
from skiff.cluster.bootstrap_tokens import BootstrapToken

NOW = 1_800_000_000.0


def made(expires: float | None = NOW + 3600) -> BootstrapToken:
    identifier, _, secret = bootstrap_tokens.draw(seeded(1)).partition(".")
    return BootstrapToken(identifier, secret, expires, ("authentication", "signing"), (addons.BOOTSTRAPPERS,), "x")


def test_a_drawn_token_has_the_form_and_differs() -> None:
    tokens = {bootstrap_tokens.draw(seeded(seed)) for seed in range(50)}
    assert len(tokens) == 50
    assert all(bootstrap_tokens.TOKEN.fullmatch(token) for token in tokens)


@pytest.mark.parametrize("expires", [None, NOW + 3600])
def test_what_is_written_is_read_again(expires: float | None) -> None:
    token = made(expires)
    secret = bootstrap_tokens.secret_object(token)
    assert secret["type"] == "bootstrap.kubernetes.io/token"
    assert secret["metadata"]["name"] == f"bootstrap-token-{token.identifier}"
    assert bootstrap_tokens.read(secret) == token


def test_the_secret_half_is_not_shown() -> None:
    token = made()
    assert token.secret not in repr(token)


@pytest.mark.parametrize("change", [{"type": "Opaque"}, {"data": {"token-id": "!"}}, {"data": None}])
def test_other_secrets_are_no_tokens(change: dict[str, object]) -> None:
    assert bootstrap_tokens.read({**bootstrap_tokens.secret_object(made()), **change}) is None


@pytest.mark.parametrize(("text", "seconds"), [("24h", 86400), ("1h30m", 5400), ("90s", 90), ("0", 0), ("1.5h", 5400)])
def test_durations(text: str, seconds: float) -> None:
    assert bootstrap_tokens.parse_ttl(text) == seconds


@pytest.mark.parametrize("text", ["", "24", "h", "1d", "-1h", "1h x"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no duration"):
        bootstrap_tokens.parse_ttl(text)
