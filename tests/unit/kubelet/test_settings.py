"""What the kubelet's flags decide."""

from __future__ import annotations

import pytest

from kubelet.settings import Settings, flags, from_flags


def settings(*arguments: str) -> Settings:
    return from_flags(flags().parse_or_raise(["--kubeconfig=/k", *arguments]), "host")


@pytest.mark.parametrize(
    ("flag", "field"),
    [("rotate-certificates", "rotate_certificates"), ("authentication-token-webhook", "takes_tokens")],
)
def test_what_is_on_by_default_can_be_turned_off(flag: str, field: str) -> None:
    assert getattr(settings(), field) is True
    assert getattr(settings(f"--{flag}=false"), field) is False
