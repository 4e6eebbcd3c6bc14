"""The lab's files say what both generations of compose accept; neither can be run in every place where tests run."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[3]
COMPOSE = ROOT / "deploy" / "compose"
#: Keys of a service in the schema 3.8 of docker-compose 1.29 that compose v2 knows too (as far as we use them).
KNOWN = {
    "image", "privileged", "restart", "stop_grace_period", "tmpfs", "command", "hostname", "environment", "ports",
    "volumes", "networks", "cap_add", "cap_drop", "security_opt",
}  # fmt: skip


def load(name: str) -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load((COMPOSE / name).read_text())
    return document


@pytest.mark.parametrize("name", ["lab.yaml", "lab-unprivileged.yaml"])
def test_both_compose_generations_know_the_keys(name: str) -> None:
    document = load(name)
    assert document["version"] == "3.8"
    for service in document["services"].values():
        assert set(service) <= KNOWN


def test_the_lab_is_one_control_plane_and_two_workers() -> None:
    services = load("lab.yaml")["services"]
    assert [service["command"] for service in services.values()] == [["control-plane"], ["worker"], ["worker"]]
    assert all(service["privileged"] is True for service in services.values())
    assert len({service["networks"]["nodes"]["ipv4_address"] for service in services.values()}) == 3


def test_the_override_takes_every_service_out_of_privilege() -> None:
    services = load("lab-unprivileged.yaml")["services"]
    assert set(services) == set(load("lab.yaml")["services"])
    for service in services.values():
        assert service["privileged"] is False
        assert (service["cap_add"], service["cap_drop"]) == (["ALL"], ["SYS_RESOURCE"])
        # docker-compose 1.29 hands systempaths to the engine, which knows it from the docker client only.
        assert not any("systempaths" in option for option in service["security_opt"])


def test_the_image_may_be_made_on_any_base() -> None:
    lines = (ROOT / "deploy" / "images" / "node" / "Dockerfile").read_text().splitlines()
    code = [line for line in lines if line and not line.startswith("#")]
    assert code[:2] == ["ARG BASE=debian:bookworm-slim", "FROM ${BASE}"]


def test_the_base_carries_what_the_image_would_install() -> None:
    script, dockerfile = (COMPOSE / "lab.sh").read_text(), (ROOT / "deploy/images/node/Dockerfile").read_text()
    listed = re.search(r"^packages=(\S+)$", script, re.MULTILINE)
    wanted = re.search(r"for package in (.*?); do", dockerfile, re.DOTALL)
    assert listed is not None
    assert wanted is not None
    assert listed.group(1).split(",") == wanted.group(1).replace("\\\n", " ").split()


@pytest.mark.parametrize(
    ("arguments", "sentence"), [(["up", "huge"], "there is no lab 'huge'"), (["sideways", "small"], "usage: lab.sh")]
)
def test_the_script_refuses_what_it_does_not_know(arguments: list[str], sentence: str) -> None:
    refused = subprocess.run([COMPOSE / "lab.sh", *arguments], capture_output=True, text=True, check=False)
    assert refused.returncode == 1
    assert sentence in refused.stderr
