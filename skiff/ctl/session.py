"""What a command works with: the configuration the flags choose, a client, what the server has, a namespace."""

from __future__ import annotations

import dataclasses
import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import yaml

from component_base.clock import Clock, SystemClock
from kubeclient.kubeconfig import KubeConfig, KubeConfigError
from skiff.ctl.connection import Flags

if TYPE_CHECKING:
    from kubeclient.rest import RestClient
    from skiff.ctl.catalog import Catalog

_FILES = ("certificate-authority", "client-certificate", "client-key", "tokenFile")
_SPAN = re.compile(r"(\d+(?:\.\d+)?)(ms|h|m|s)")
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


def seconds(text: str) -> float:
    """`90`, `90s`, `1m30s`. Raises a usage error for anything else."""
    if re.fullmatch(r"-?\d+(\.\d+)?", text):
        return float(text)
    found = _SPAN.findall(text.lstrip("-"))
    if not found or "".join(a + b for a, b in found) != text.lstrip("-"):
        raise click.UsageError(f"{text!r} is no duration: write it like 90s or 1m30s")
    total = sum(float(amount) * _UNITS[unit] for amount, unit in found)
    return -total if text.startswith("-") else total


def kubeconfig_paths(flags: Flags) -> list[Path]:
    """The files, most important first: --kubeconfig, or those in $KUBECONFIG, or ~/.kube/config."""
    if flags.kubeconfig:
        return [Path(flags.kubeconfig)]
    if named := [Path(part) for part in os.environ.get("KUBECONFIG", "").split(os.pathsep) if part]:
        return named
    return [Path.home() / ".kube" / "config"]


def merged_document(flags: Flags) -> dict[str, Any]:
    """All kubeconfig files as one: of equal names the first counts. Files that are not there are left out."""
    merged: dict[str, Any] = {}
    for path in kubeconfig_paths(flags):
        if not path.exists() and not flags.kubeconfig:
            continue
        try:
            document = yaml.safe_load(path.read_text()) or {}
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            raise KubeConfigError(f"kubeconfig {path} cannot be read: {error}") from error
        if not isinstance(document, dict):
            raise KubeConfigError(f"kubeconfig {path} is no mapping")
        for plural, singular in (("clusters", "cluster"), ("contexts", "context"), ("users", "user")):
            have = merged.setdefault(plural, [])
            known = {entry.get("name") for entry in have}
            for entry in document.get(plural) or ():
                body = entry.get(singular) or {}
                body |= {key: str(path.parent.absolute() / body[key]) for key in _FILES if body.get(key)}
                if entry.get("name") not in known:
                    have.append(entry)
        if document.get("current-context"):
            merged.setdefault("current-context", document["current-context"])
    return merged


class Session:
    """One run of one command. `client` and the catalog are made when first asked for."""

    def __init__(self, flags: Flags, clock: Clock | None = None) -> None:
        self.flags = flags
        self.clock = clock or SystemClock()
        self._config: KubeConfig | None = None
        self._client: RestClient | None = None
        self._catalog: Catalog | None = None

    @property
    def config(self) -> KubeConfig:
        """Raises KubeConfigError where there is no way to a server."""
        if self._config is None:
            self._config = self._adjusted(self._chosen())
        return self._config

    def _chosen(self) -> KubeConfig:
        flags = self.flags
        document = merged_document(flags)
        if not document.get("clusters") and not flags.kubeconfig:
            if flags.server:
                return KubeConfig(flags.server.rstrip("/"))
            if os.environ.get("KUBERNETES_SERVICE_HOST"):
                return KubeConfig.in_cluster()
            looked = ", ".join(map(str, kubeconfig_paths(flags)))
            raise KubeConfigError(f"there is no kubeconfig at {looked}; set $KUBECONFIG or use --kubeconfig")
        path = kubeconfig_paths(flags)[0]
        if flags.cluster or flags.user:
            name = flags.context or document.get("current-context") or ""
            entry = next((dict(e.get("context") or {}) for e in document["contexts"] if e.get("name") == name), {})
            entry |= {key: value for key, value in (("cluster", flags.cluster), ("user", flags.user)) if value}
            document["contexts"] = [{"name": "chosen by flags", "context": entry}]
            return KubeConfig.of(document, path, "chosen by flags")
        return KubeConfig.of(document, path, flags.context)

    def _adjusted(self, config: KubeConfig) -> KubeConfig:
        flags = self.flags
        if flags.server:
            config = dataclasses.replace(config, server=flags.server.rstrip("/"))
        if flags.token:
            config = dataclasses.replace(config, token=flags.token, client_certificate=None, client_key=None)
        if flags.insecure_skip_tls_verify:
            config = dataclasses.replace(config, insecure=True)
        return config

    @property
    def namespace(self) -> str:
        return self.flags.namespace or self.config.namespace

    @property
    def client(self) -> RestClient:
        if self._client is None:
            from skiff.ctl.client import Client

            self._client = Client(self.config, self.flags, self.clock)
        return self._client

    async def catalog(self) -> Catalog:
        if self._catalog is None:
            from skiff.ctl.catalog import discover

            self._catalog = await discover(self.client)
        return self._catalog

    async def close(self) -> None:
        if self._client is not None:
            await self._client.close()

    def now(self) -> float:
        return self.clock.now()

    def warn(self, text: str) -> None:
        click.echo(f"Warning: {text}", err=True)

    @property
    def interactive(self) -> bool:
        return sys.stdin.isatty() and sys.stdout.isatty()
