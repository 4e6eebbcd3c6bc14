"""Backups that go both ways between this store and etcd, with etcd's own tools."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.etcd_raft.processes import MemberProcess

pytestmark = [
    pytest.mark.skipif(shutil.which("etcdctl") is None, reason="etcdctl is not installed; see make setup"),
    pytest.mark.timeout(300),
]


@pytest.fixture
def ours(tmp_path: Path) -> Iterator[MemberProcess]:
    member = MemberProcess.make("one", tmp_path)
    yield member
    member.end()


def tool(*arguments: str) -> str:
    environment = {**os.environ, "ETCDCTL_API": "3"}
    done = subprocess.run(["etcdctl", *arguments], capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def described(file: Path) -> Any:
    return json.loads(tool("snapshot", "status", str(file), "-w", "json"))


def healthy(upstream: MemberProcess) -> None:
    while "is healthy" not in upstream.etcdctl("endpoint", "health", check=False):
        assert upstream.process is not None
        assert upstream.process.poll() is None


def fill(member: MemberProcess) -> None:
    lease = member.etcdctl("lease", "grant", "600").split()[1]
    for number in range(12):
        member.etcdctl("put", f"k{number % 5}", f"v{number}", f"--lease={lease if number == 11 else 0}")
    member.etcdctl("del", "k2")
    member.etcdctl("compact", "9")


def check(member: MemberProcess) -> None:
    assert member.etcdctl("get", "k", "--prefix", "--print-value-only").split() == ["v10", "v11", "v8", "v9"]
    assert member.etcdctl("get", "k2", "--rev=13", "--print-value-only").strip() == "v7"
    held = json.loads(member.etcdctl("get", "k1", "-w", "json"))["kvs"][0]
    assert (held["create_revision"], held["mod_revision"], held["version"]) == (3, 13, 3)
    keys = json.loads(member.etcdctl("lease", "timetolive", f"{held['lease']:x}", "--keys", "-w", "json"))["keys"]
    assert keys == ["azE="]
    assert "compacted" in member.etcdctl("get", "k1", "--rev=5", check=False)


async def test_ours_is_restored_by_etcds_tool_and_served_by_etcd(ours: MemberProcess, tmp_path: Path) -> None:
    ours.start()
    await ours.ready()
    fill(ours)
    file = tmp_path / "backup"
    ours.etcdctl("snapshot", "save", str(file))
    ours.kill()
    assert described(file)["revision"] == 14
    tool(
        "snapshot",
        "restore",
        str(file),
        f"--name={ours.name}",
        f"--data-dir={tmp_path / 'theirs' / 'one'}",
        f"--initial-cluster={ours.name}={ours.peer_url}",
        f"--initial-advertise-peer-urls={ours.peer_url}",
    )
    theirs = MemberProcess(ours.name, tmp_path / "theirs", ours.client_port, ours.peer_port, ours.metrics_port)
    theirs.start_upstream()
    try:
        healthy(theirs)
        check(theirs)
    finally:
        theirs.end()


async def test_etcds_is_restored_by_ours(ours: MemberProcess, tmp_path: Path) -> None:
    (tmp_path / "theirs").mkdir()
    theirs = MemberProcess.make("one", tmp_path / "theirs")
    theirs.start_upstream()
    try:
        healthy(theirs)
        fill(theirs)
        theirs.etcdctl("snapshot", "save", str(tmp_path / "backup"))
    finally:
        theirs.end()
    command = ours.arguments("")
    restore = [a for a in command if a.startswith(("--name", "--data-dir", "--initial-adv", "--initial-cluster="))]
    made = [*command[:3], "restore", str(tmp_path / "backup"), *restore]
    await asyncio.to_thread(subprocess.run, made, check=True, capture_output=True)
    ours.start()
    await ours.ready()
    check(ours)
    ours.etcdctl("put", "later", "1")
    ours.etcdctl("snapshot", "save", str(tmp_path / "again"))
    assert described(tmp_path / "again")["revision"] == 15
