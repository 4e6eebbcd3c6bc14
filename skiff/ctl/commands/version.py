"""`version`: of this client and of the server."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as version_of

import click

from skiff.ctl.printing.documents import to_json, to_yaml
from skiff.ctl.session import Session
from skiff.ctl.words import command


@command("version")
@click.option("--client", is_flag=True, help="Of this client only.")
@click.option("-o", "--output", type=click.Choice(["", "json", "yaml"]), default="")
async def version_command(session: Session, client: bool, output: str) -> None:
    """Show the versions of client and server."""
    try:
        own = f"v{version_of('skiff-cluster')}+skiffctl"
    except PackageNotFoundError:
        own = "unknown+skiffctl"
    found: dict[str, object] = {"clientVersion": {"gitVersion": own}}
    if output:
        if not client:
            found["serverVersion"] = await session.client.get("/version")
        click.echo(to_json(found) if output == "json" else to_yaml(found), nl=False)
        return
    click.echo(f"Client Version: {own}")
    if not client:
        click.echo(f"Server Version: {(await session.client.get('/version'))['gitVersion']}")
