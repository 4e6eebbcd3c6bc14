"""The REST client of this command line: acts as somebody else if asked to, shows warnings and, with -v6, requests."""

from __future__ import annotations

import re
from typing import Any

import click
import httpx

from component_base.clock import Clock
from kubeclient.kubeconfig import KubeConfig
from kubeclient.rest import RestClient
from skiff.ctl.connection import Flags

_WARNING = re.compile(r'299 \S+ "((?:[^"\\]|\\.)*)"')
SHOW_REQUESTS = 6


class Client(RestClient):
    def __init__(self, config: KubeConfig, flags: Flags, clock: Clock) -> None:
        super().__init__(config, user_agent="skiffctl/0.1", clock=clock)
        self._flags = flags
        self._shown: set[str] = set()
        if flags.request_timeout and flags.request_timeout != "0":
            from skiff.ctl.session import seconds

            self._http.timeout = httpx.Timeout(seconds(flags.request_timeout))

    def identity(self) -> dict[str, str]:
        """The headers that say who asks, for connections other than this client's."""
        return self._headers()

    def _headers(self) -> dict[str, str]:
        headers = super()._headers()
        if self._flags.as_user:
            headers["Impersonate-User"] = self._flags.as_user
        if self._flags.as_group:
            headers["Impersonate-Group"] = self._flags.as_group[0]
        return headers

    async def request(self, method: str, path: str, **more: Any) -> httpx.Response:
        if (self._flags.verbosity or 0) >= SHOW_REQUESTS:
            click.echo(f"{method} {self.config.server}{path}", err=True)
        response = await super().request(method, path, **more)
        for warning in response.headers.get_list("warning"):
            for text in _WARNING.findall(warning):
                if text not in self._shown:
                    self._shown.add(text)
                    click.echo("Warning: " + re.sub(r"\\(.)", r"\1", text), err=True)
        return response
