"""Real members as processes, on free ports of the loopback, killed as a power cut would."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from component_base.http2.channel import Http2Channel
from component_base.pki import CertificateAuthority, Usage
from component_base.rpc import ClientTls, RpcError
from skiff_pb.etcd import rpc_pb2
from tests.integration.ports import free_ports

KV = rpc_pb2.DESCRIPTOR.services_by_name["KV"]
MAINTENANCE = rpc_pb2.DESCRIPTOR.services_by_name["Maintenance"]
START_SECONDS = 60.0
PATIENCE = 60.0
"""For what takes a second on an idle machine: members wait for a processor, and for their turn at the disk."""


class Credentials:
    """One authority for all; every member and client has the same certificate, good for these addresses."""

    def __init__(self, folder: Path, addresses: Sequence[str] = ("127.0.0.1",)) -> None:
        authority = CertificateAuthority.create("etcd-ca")
        self.ca, self.certificate, self.key = folder / "ca.crt", folder / "pair.crt", folder / "pair.key"
        self.ca.write_bytes(authority.certificate_pem)
        pair = authority.issue("member", ips=list(addresses), usages=Usage.SERVER | Usage.CLIENT)
        pair.write(self.certificate, self.key)

    def flags(self) -> list[str]:
        return [
            f"--{prefix}{flag}"
            for prefix in ("", "peer-")
            for flag in (
                f"cert-file={self.certificate}",
                f"key-file={self.key}",
                f"trusted-ca-file={self.ca}",
                "client-cert-auth",
            )
        ]

    def client(self) -> ClientTls:
        return ClientTls(self.ca, self.certificate, self.key)


@dataclass
class MemberProcess:
    name: str
    folder: Path
    client_port: int
    peer_port: int
    metrics_port: int
    credentials: Credentials | None = None
    extra: tuple[str, ...] = ()
    environment: dict[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None
    host: str = "127.0.0.1"
    prefix: tuple[str, ...] = ()
    """A command that runs it somewhere else, as in a network namespace."""

    @classmethod
    def make(cls, name: str, folder: Path, credentials: Credentials | None = None, *extra: str) -> MemberProcess:
        client, peer, metrics = free_ports(3)
        return cls(name, folder, client, peer, metrics, credentials, extra)

    @property
    def scheme(self) -> str:
        return "https" if self.credentials else "http"

    @property
    def client_url(self) -> str:
        return f"{self.scheme}://{self.host}:{self.client_port}"

    @property
    def peer_url(self) -> str:
        return f"{self.scheme}://{self.host}:{self.peer_port}"

    @property
    def log(self) -> str:
        return (self.folder / f"{self.name}.log").read_text()

    def arguments(self, cluster: str, state: str = "new") -> list[str]:
        return [
            *self.prefix,
            sys.executable,
            "-m",
            "etcd_raft",
            f"--name={self.name}",
            f"--data-dir={self.folder / self.name}",
            f"--listen-client-urls={self.client_url}",
            f"--advertise-client-urls={self.client_url}",
            f"--listen-peer-urls={self.peer_url}",
            f"--initial-advertise-peer-urls={self.peer_url}",
            f"--initial-cluster={cluster or f'{self.name}={self.peer_url}'}",
            f"--initial-cluster-state={state}",
            f"--listen-metrics-urls=http://{self.host}:{self.metrics_port}",
            *(self.credentials.flags() if self.credentials else ()),
            *self.extra,
        ]

    def start(self, cluster: str = "", state: str = "new") -> None:
        with open(self.folder / f"{self.name}.log", "ab") as log:
            environment = {**os.environ, **self.environment}
            self.process = subprocess.Popen(self.arguments(cluster, state), stderr=log, stdout=log, env=environment)

    def kill(self) -> None:
        """As a power cut, as far as a process can tell."""
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self) -> int:
        assert self.process is not None
        self.process.terminate()
        return self.process.wait(PATIENCE)

    def ended(self) -> int:
        """Its exit code, once it has ended by itself."""
        assert self.process is not None
        return self.process.wait(PATIENCE)

    def end(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.kill()

    def health(self) -> dict[str, Any]:
        try:
            with urllib.request.urlopen(f"http://{self.host}:{self.metrics_port}/health", timeout=6) as answer:
                found: dict[str, Any] = json.load(answer)
                return found
        except OSError:
            return {"health": "unreachable"}

    def metrics(self) -> str:
        with urllib.request.urlopen(f"http://{self.host}:{self.metrics_port}/metrics", timeout=PATIENCE) as answer:
            return str(answer.read().decode())

    async def ready(self) -> None:
        found: dict[str, Any] = {}
        try:
            async with asyncio.timeout(START_SECONDS):
                while found.get("health") != "true":
                    assert self.process is not None
                    assert self.process.poll() is None, self.log
                    found = await asyncio.to_thread(self.health)
                    await asyncio.sleep(0.05)
        except TimeoutError:
            raise AssertionError(f"{self.name} is not ready but {found}: {self.log[-4000:]}") from None

    def channel(self) -> Http2Channel:
        tls = self.credentials.client() if self.credentials else None
        return Http2Channel(f"{self.host}:{self.client_port}", tls, connect_retry_seconds=0.2)

    def etcdctl(
        self, *arguments: str, check: bool = True, endpoints: str = "", stdin: str = "", certificate: bool = True
    ) -> str:
        """Standard output; with `check=False` what it complains about as well."""
        done = subprocess.run(
            self._etcdctl(arguments, endpoints, certificate),
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
            input=stdin,
            env={**os.environ, "ETCDCTL_API": "3"},
        )
        assert not check or done.returncode == 0, done.stderr
        return done.stdout + ("" if check else done.stderr)

    def watch(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            self._etcdctl(("watch", *arguments), "", certificate=True),
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "ETCDCTL_API": "3"},
        )

    def _etcdctl(self, arguments: Sequence[str], endpoints: str, certificate: bool) -> list[str]:
        patience = ("--dial-timeout=20s", "--command-timeout=30s")
        command = ["etcdctl", f"--endpoints={endpoints or self.client_url}", *patience, *arguments]
        if self.credentials:
            command.append(f"--cacert={self.credentials.ca}")
            if certificate:
                command += [f"--cert={self.credentials.certificate}", f"--key={self.credentials.key}"]
        return command

    def start_upstream(self) -> None:
        """etcd itself, with the same folder and addresses."""
        arguments = [a for a in self.arguments("")[3:] if "metrics" not in a]
        self.process = subprocess.Popen(["etcd", *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


class Writers:
    """Clients that write numbered keys as fast as they are answered, and remember what was acknowledged."""

    def __init__(self, *members: MemberProcess) -> None:
        self._members = members
        self.acknowledged: dict[bytes, bytes] = {}
        self._number = 0
        self._enough = 0

    async def write(self, clients: int, stop: asyncio.Event, count: int = 1 << 30) -> None:
        """Until told to stop, or until `count` more were acknowledged."""
        self._enough = len(self.acknowledged) + count
        async with asyncio.TaskGroup() as group:
            for client in range(clients):
                group.create_task(self._client(client, stop))

    async def _client(self, client: int, stop: asyncio.Event) -> None:
        channels = [member.channel() for member in self._members]
        try:
            turn = client
            while not stop.is_set():
                self._number += 1
                key, value = b"k%06d" % self._number, b"v%06d" % self._number
                put = rpc_pb2.PutRequest(key=key, value=value)
                try:
                    await channels[turn % len(channels)].unary(KV, "Put", put, timeout=8.0)
                    self.acknowledged[key] = value
                    if len(self.acknowledged) >= self._enough:
                        stop.set()
                except RpcError:
                    turn += 1
                    await asyncio.sleep(0.02)
        finally:
            for channel in channels:
                await channel.close()


async def contents(member: MemberProcess) -> dict[bytes, bytes]:
    channel = member.channel()
    try:
        everything = rpc_pb2.RangeRequest(key=b"\0", range_end=b"\0")
        answer = await channel.unary(KV, "Range", everything, timeout=10.0)
        return {kv.key: kv.value for kv in answer.kvs}
    finally:
        await channel.close()


async def status(member: MemberProcess) -> Any:
    channel = member.channel()
    try:
        return await channel.unary(MAINTENANCE, "Status", rpc_pb2.StatusRequest(), timeout=PATIENCE)
    finally:
        await channel.close()


async def until(condition: Callable[[], bool], what: str) -> None:
    """For what comes about by the work of other tasks or of members."""
    try:
        async with asyncio.timeout(PATIENCE):
            while not condition():  # noqa: ASYNC110 - the other side gives no sign
                await asyncio.sleep(0.02)
    except TimeoutError:
        raise AssertionError(f"not within {PATIENCE:g} s: {what}") from None
