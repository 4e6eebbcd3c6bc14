"""Where a client finds its apiserver and what it proves its identity with: kubeconfig files and pods' own accounts.

Files named inside a kubeconfig are relative to it. Data given inline is kept in memory, except that TLS libraries read
client certificates from files only: those are written to a private folder that is removed when the process ends.
"""

from __future__ import annotations

import atexit
import base64
import binascii
import contextlib
import os
import shutil
import ssl
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")


class KubeConfigError(Exception):
    """One sentence that names the file and what is wrong in it."""


@dataclass(frozen=True, slots=True)
class KubeConfig:
    """One cluster, one user. At most one of `token` and `token_file` is set; a token file may be rotated."""

    server: str
    ca: bytes | None = None
    client_certificate: bytes | None = field(default=None, repr=False)
    client_key: bytes | None = field(default=None, repr=False)
    token: str | None = field(default=None, repr=False)
    token_file: Path | None = None
    namespace: str = "default"
    tls_server_name: str | None = None
    insecure: bool = False

    @classmethod
    def load(cls, path: Path | str, context: str | None = None) -> KubeConfig:
        """The current context, or the one named. Raises KubeConfigError."""
        path = Path(path)
        try:
            document = yaml.safe_load(path.read_text())
        except FileNotFoundError:
            raise KubeConfigError(f"kubeconfig {path} does not exist") from None
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            raise KubeConfigError(f"kubeconfig {path} cannot be read: {error}") from error
        return cls.of(document, path, context)

    @classmethod
    def of(cls, document: Any, path: Path, context: str | None = None) -> KubeConfig:
        if not isinstance(document, dict):
            raise KubeConfigError(f"kubeconfig {path} is empty or no mapping")
        name = context or document.get("current-context") or ""
        if not name:
            raise KubeConfigError(f"kubeconfig {path} names no current-context; choose one with --context")
        chosen = _entry(document, "contexts", "context", name, path)
        cluster = _entry(document, "clusters", "cluster", str(chosen.get("cluster", "")), path)
        user = _entry(document, "users", "user", str(chosen["user"]), path) if chosen.get("user") else {}
        server = str(cluster.get("server") or "")
        if not server.startswith(("https://", "http://")):
            raise KubeConfigError(f"kubeconfig {path}: the server {server!r} is no http(s) URL")
        return cls(
            server=server.rstrip("/"),
            ca=_data(cluster, "certificate-authority", path),
            client_certificate=_data(user, "client-certificate", path),
            client_key=_data(user, "client-key", path),
            token=str(user["token"]) if user.get("token") else None,
            token_file=_file(user, "tokenFile", path),
            namespace=str(chosen.get("namespace") or "default"),
            tls_server_name=cluster.get("tls-server-name"),
            insecure=bool(cluster.get("insecure-skip-tls-verify", False)),
        )

    @classmethod
    def in_cluster(cls, folder: Path = SERVICE_ACCOUNT, environ: Mapping[str, str] = os.environ) -> KubeConfig:
        """The account of the pod this process runs in. Raises KubeConfigError outside of pods."""
        host, port = environ.get("KUBERNETES_SERVICE_HOST"), environ.get("KUBERNETES_SERVICE_PORT", "443")
        if not host or not (folder / "token").exists():
            raise KubeConfigError("this process is not in a pod: there is no service account token; use --kubeconfig")
        namespace = (folder / "namespace").read_text().strip() if (folder / "namespace").exists() else "default"
        host = f"[{host}]" if ":" in host else host
        return cls(
            f"https://{host}:{port}", (folder / "ca.crt").read_bytes(), token_file=folder / "token", namespace=namespace
        )

    def ssl_context(self) -> ssl.SSLContext:
        """TLS as this configuration asks for. Raises KubeConfigError when certificate and key do not fit together."""
        try:
            context = ssl.create_default_context(cadata=self.ca.decode() if self.ca else None)
        except (ssl.SSLError, UnicodeDecodeError) as error:
            raise KubeConfigError(f"the certificate authority of {self.server} is not PEM: {error}") from error
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if self.insecure:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if self.client_certificate is not None and self.client_key is not None:
            _load_pair(context, self.client_certificate, self.client_key)
        return context


def _entry(document: Mapping[str, Any], plural: str, singular: str, name: str, path: Path) -> dict[str, Any]:
    for entry in document.get(plural) or ():
        if entry.get("name") == name:
            found: dict[str, Any] = entry.get(singular) or {}
            return found
    raise KubeConfigError(f"kubeconfig {path} has no {singular} named {name!r}")


def _data(entry: Mapping[str, Any], key: str, path: Path) -> bytes | None:
    if inline := entry.get(f"{key}-data"):
        try:
            return base64.b64decode(inline, validate=True)
        except (binascii.Error, ValueError) as error:
            raise KubeConfigError(f"kubeconfig {path}: {key}-data is not base64") from error
    file = _file(entry, key, path)
    if file is None:
        return None
    try:
        return file.read_bytes()
    except OSError as error:
        raise KubeConfigError(f"kubeconfig {path}: {key} {file} cannot be read: {error.strerror}") from error


def _file(entry: Mapping[str, Any], key: str, path: Path) -> Path | None:
    name = entry.get(key)
    return path.parent / str(name) if name else None


def _load_pair(context: ssl.SSLContext, certificate: bytes, key: bytes) -> None:
    folder = Path(tempfile.mkdtemp(prefix="skiff-client-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    file = folder / "pair.pem"
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT, 0o600)
        with os.fdopen(descriptor, "wb") as handle:
            handle.write(key + b"\n" + certificate)
        context.load_cert_chain(file)
    except ssl.SSLError as error:
        raise KubeConfigError(f"the client certificate and its key do not fit together: {error.reason}") from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class TokenSource:
    """The bearer token of a configuration; a file is looked at again at most once in ten seconds."""

    PERIOD = 10.0

    def __init__(self, config: KubeConfig) -> None:
        self._fixed = config.token
        self._file = config.token_file
        self._read = ""
        self._next = float("-inf")

    def token(self, now: float) -> str | None:
        if self._fixed or self._file is None:
            return self._fixed
        if now >= self._next:
            self._next = now + self.PERIOD
            with contextlib.suppress(OSError):  # being rotated: the last one serves until the next look
                self._read = self._file.read_text().strip()
        return self._read or None
