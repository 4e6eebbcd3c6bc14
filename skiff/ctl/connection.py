"""The flags every command takes: which kubeconfig, which server, as whom, in which namespace."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import click


@dataclass(frozen=True, slots=True)
class Flags:
    """As given; None is what was not given, wherever on the line it could have been."""

    namespace: str | None = None
    kubeconfig: str | None = None
    context: str | None = None
    cluster: str | None = None
    user: str | None = None
    server: str | None = None
    token: str | None = None
    as_user: str | None = None
    as_group: tuple[str, ...] = ()
    insecure_skip_tls_verify: bool = False
    request_timeout: str | None = None
    verbosity: int | None = None

    @classmethod
    def collect(cls, ctx: click.Context, own: dict[str, Any]) -> Flags:
        """Take these flags out of a command's own, and those given before its name from the groups above."""
        found: dict[str, Any] = {}
        for field in fields(cls):
            if value := own.pop(field.name, None):
                found[field.name] = value
            above = ctx.parent
            while field.name not in found and above is not None:
                if value := above.params.get(field.name):
                    found[field.name] = value
                above = above.parent
        return cls(**found)


def connection_options(hidden: bool) -> list[click.Option]:
    """The options; commands hide them, as `skiffctl --help` shows them once."""
    return [
        click.Option(["-n", "--namespace"], hidden=hidden, help="Namespace of the objects."),
        click.Option(["--kubeconfig"], hidden=hidden, help="Path of the kubeconfig."),
        click.Option(["--context"], hidden=hidden, help="Context of the kubeconfig."),
        click.Option(["--cluster"], hidden=hidden, help="Cluster of the kubeconfig."),
        click.Option(["--user"], hidden=hidden, help="User of the kubeconfig."),
        click.Option(["-s", "--server"], hidden=hidden, help="URL of the API server."),
        click.Option(["--token"], hidden=hidden, help="Bearer token."),
        click.Option(["--as", "as_user"], hidden=hidden, help="User to act as."),
        click.Option(["--as-group"], multiple=True, hidden=hidden, help="Group to act as."),
        click.Option(
            ["--insecure-skip-tls-verify"], is_flag=True, hidden=hidden, help="Do not check the server's certificate."
        ),
        click.Option(["--request-timeout"], hidden=hidden, help="Seconds for one request, e.g. 5s."),
        click.Option(["-v", "--v", "verbosity"], type=int, hidden=hidden, help="6 and above: show each request."),
    ]
