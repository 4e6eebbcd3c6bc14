"""Real parts for tests: a store and an apiserver as processes of their own, and ways to talk to them.

    store = start_store(folder)
    server = start_apiserver(folder, store.url)
    with server.http() as client: client.get("/api/v1/namespaces")

The store is Debian's etcd where it is installed, else (or with SKIFF_TEST_STORE=ours) ours. Everything listens on free
ports of 127.0.0.1; whoever starts a process stops it (`stop`, or the `with` statement).
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import httpx
import yaml

from component_base.pki import CertificateAuthority, Usage, signing_key_pair
from tests.integration.ports import free_port

START_SECONDS = 30.0
ADMIN_GROUP = "system:masters"


@dataclass
class Running:
    """A process with its log; as a context manager it is stopped at the end."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path

    def stop(self, seconds: float = 40.0) -> int:
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(seconds)
            except subprocess.TimeoutExpired:
                self.process.kill()
        return self.process.wait()

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def text(self) -> str:
        return self.log.read_text(errors="replace")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def launch(name: str, argv: list[str], folder: Path) -> Running:
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / f"{name}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(argv, stdout=output, stderr=subprocess.STDOUT, cwd=folder, env=dict(os.environ))
    return Running(name, process, log)


@dataclass
class Store(Running):
    url: str = ""


def start_store(folder: Path, port: int = 0) -> Store:
    """One member without TLS."""
    client, peer = port or free_port(), free_port()
    url, peer_url = f"http://127.0.0.1:{client}", f"http://127.0.0.1:{peer}"
    flags = [
        "--name=default",
        f"--data-dir={folder / 'etcd'}",
        f"--listen-client-urls={url}",
        f"--advertise-client-urls={url}",
        f"--listen-peer-urls={peer_url}",
        f"--initial-advertise-peer-urls={peer_url}",
        f"--initial-cluster=default={peer_url}",
    ]
    binary = None if os.environ.get("SKIFF_TEST_STORE") == "ours" else shutil.which("etcd")
    argv = [binary, *flags, "--log-level=error"] if binary else [sys.executable, "-m", "etcd_raft", *flags]
    running = launch("etcd", argv, folder)
    store = Store(running.name, running.process, running.log, url)
    wait_for_port(client, store)
    return store


def wait_for_port(port: int, running: Running) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        assert running.process.poll() is None, f"{running.name} ended:\n{running.text()}"
        with socket.socket() as probe:
            probe.settimeout(0.2)
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)
    raise AssertionError(f"{running.name} does not listen on {port}:\n{running.text()}")


@dataclass(frozen=True)
class Certificates:
    """The files of a cluster's authority, of the apiserver, and of its users."""

    folder: Path
    authority: CertificateAuthority

    @classmethod
    def create(cls, folder: Path) -> Certificates:
        folder.mkdir(parents=True, exist_ok=True)
        authority = CertificateAuthority.create("kubernetes")
        authority.pair().write(folder / "ca.crt", folder / "ca.key")
        authority.issue("kube-apiserver", dns=["localhost"], ips=["127.0.0.1"], usages=Usage.SERVER).write(
            folder / "apiserver.crt", folder / "apiserver.key"
        )
        private, public = signing_key_pair()
        (folder / "sa.key").write_bytes(private)
        (folder / "sa.pub").write_bytes(public)
        made = cls(folder, authority)
        made.user("admin", [ADMIN_GROUP])
        return made

    def user(self, name: str, groups: list[str]) -> tuple[Path, Path]:
        """A client certificate for `name`, made once."""
        stem = name.replace(":", "-")
        certificate, key = self.folder / f"{stem}.crt", self.folder / f"{stem}.key"
        if not certificate.exists():
            self.authority.issue(name, organizations=groups).write(certificate, key)
        return certificate, key


@dataclass
class ApiServer(Running):
    url: str = ""
    certificates: Certificates = field(default=None)  # type: ignore[assignment]

    def tls(self, user: str = "admin", groups: tuple[str, ...] = (ADMIN_GROUP,)) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=str(self.certificates.folder / "ca.crt"))
        certificate, key = self.certificates.user(user, list(groups))
        context.load_cert_chain(certificate, key)
        return context

    def http(self, user: str = "admin", groups: tuple[str, ...] = (ADMIN_GROUP,)) -> httpx.Client:
        return httpx.Client(base_url=self.url, verify=self.tls(user, groups), timeout=30.0)

    def anonymous(self) -> httpx.Client:
        context = ssl.create_default_context(cafile=str(self.certificates.folder / "ca.crt"))
        return httpx.Client(base_url=self.url, verify=context, timeout=30.0)

    def kubeconfig(self, user: str = "admin", groups: tuple[str, ...] = (ADMIN_GROUP,)) -> Path:
        certificate, key = self.certificates.user(user, list(groups))
        path = self.certificates.folder / f"{user.replace(':', '-')}.conf"
        cluster = {"server": self.url, "certificate-authority": str(self.certificates.folder / "ca.crt")}
        credentials = {"client-certificate": str(certificate), "client-key": str(key)}
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "test", "cluster": cluster}],
            "users": [{"name": user, "user": credentials}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": user}}],
            "current-context": "test",
        }
        path.write_text(yaml.safe_dump(config))
        return path


def start_apiserver(
    folder: Path, store_url: str, *flags: str, certificates: Certificates | None = None, port: int = 0
) -> ApiServer:
    """Ready to answer when this returns."""
    made = certificates or Certificates.create(folder / "pki")
    pki, chosen = made.folder, port or free_port()
    argv = [
        *(sys.executable, "-m", "apiserver"),
        f"--etcd-servers={store_url}",
        "--bind-address=127.0.0.1",
        f"--secure-port={chosen}",
        f"--tls-cert-file={pki / 'apiserver.crt'}",
        f"--tls-private-key-file={pki / 'apiserver.key'}",
        f"--client-ca-file={pki / 'ca.crt'}",
        "--service-cluster-ip-range=10.96.0.0/16",
        "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
        f"--service-account-key-file={pki / 'sa.pub'}",
        f"--service-account-signing-key-file={pki / 'sa.key'}",
        *flags,
    ]
    running = launch("apiserver", argv, folder)
    server = ApiServer(running.name, running.process, running.log, f"https://127.0.0.1:{chosen}", made)
    wait_until_ready(server)
    return server


def caught_up(api: httpx.Client) -> None:
    """Rights, admission and custom kinds learn of a write by the watch, a moment after its answer, as upstream's do.

    What is decided by them comes after this: a fresh read waits until all caches hold what was stored before it.
    """
    assert api.get("/api/v1/namespaces/default").status_code == 200


def wait_until_ready(server: ApiServer) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        assert server.process.poll() is None, f"{server.name} ended:\n{server.text()}"
        if "serving https://" in server.text():
            return
        time.sleep(0.02)
    server.stop()
    raise AssertionError(f"{server.name} does not become ready:\n{server.text()}")
