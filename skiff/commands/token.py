"""`skiff token`: what a further node needs to join this cluster."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import click
import httpx

from apimachinery import timestamps
from apimachinery.errors import StatusError
from component_base.clock import SystemClock
from component_base.pki import spki_hash
from component_base.rng import system_rng
from kubeclient.kubeconfig import KubeConfig, KubeConfigError
from kubeclient.rest import RestClient
from skiff.cluster import addons, bootstrap_tokens, settings
from skiff.cluster.bootstrap_tokens import SECRETS, BootstrapToken
from skiff.cluster.layout import DEFAULT_STATE, Layout
from skiff.cluster.settings import Settings, SettingsError
from skiff.commands.output import stop, table

T = TypeVar("T")

STATE_DIR = click.option(
    "--state-dir",
    type=click.Path(path_type=Path),
    default=DEFAULT_STATE,
    show_default=True,
    help="Folder of the cluster.",
)


@click.group(short_help="tokens by which further nodes join")
def token() -> None:
    """Tokens by which further nodes join this cluster. Run it on the control plane."""


@token.command("create")
@STATE_DIR
@click.option("--ttl", default=bootstrap_tokens.DEFAULT_TTL, show_default=True, help="Its life; 0 for no end.")
@click.option("--usages", default=",".join(bootstrap_tokens.USAGES), show_default=True, help="What it is good for.")
@click.option("--groups", default=addons.BOOTSTRAPPERS, show_default=True, help="Groups of its holder.")
@click.option("--description", default="", help="A note for people.")
def token_create(state_dir: Path, ttl: str, usages: str, groups: str, description: str) -> None:
    """Make a token and print the command that a new node runs with it."""
    layout, wanted = control_plane(state_dir)
    given_usages, given_groups = _words(usages), _words(groups)
    try:
        seconds = bootstrap_tokens.parse_ttl(ttl)
    except ValueError as error:
        stop(f"--ttl: {error}")
    if unknown := set(given_usages) - set(bootstrap_tokens.USAGES):
        stop(f"--usages: {unknown.pop()!r} is none of {', '.join(bootstrap_tokens.USAGES)}")
    if bad := [name for name in given_groups if not name.startswith("system:bootstrappers:")]:
        stop(f"--groups: {bad[0]!r} does not begin with system:bootstrappers:")
    drawn = bootstrap_tokens.draw(system_rng())
    identifier, _, secret = drawn.partition(".")
    expires = SystemClock().now() + seconds if seconds else None
    made = BootstrapToken(identifier, secret, expires, given_usages, given_groups, description)
    ask(layout, lambda client: client.create(SECRETS, bootstrap_tokens.secret_object(made)))
    ca_hash = spki_hash((layout.pki / "ca.crt").read_bytes())
    click.echo(bootstrap_tokens.join_command(wanted.server, drawn, ca_hash))


@token.command("list")
@STATE_DIR
def token_list(state_dir: Path) -> None:
    """The tokens there are, without their secret halves."""
    layout, _ = control_plane(state_dir)
    query = {"fieldSelector": f"type={bootstrap_tokens.SECRET_TYPE}"}
    answer: dict[str, Any] = ask(layout, lambda client: client.get(SECRETS, query))
    found = [read for item in answer.get("items") or () if (read := bootstrap_tokens.read(item)) is not None]
    now = SystemClock().now()
    rows = [
        (
            each.identifier,
            _left(each.expires, now),
            "<never>" if each.expires is None else timestamps.format(each.expires),
            ",".join(each.usages),
            each.description or "<none>",
            ",".join(each.groups) or "<none>",
        )
        for each in found
    ]
    table(("ID", "TTL", "EXPIRES", "USAGES", "DESCRIPTION", "GROUPS"), rows)


@token.command("delete")
@STATE_DIR
@click.argument("identifiers", metavar="ID…", nargs=-1, required=True)
def token_delete(state_dir: Path, identifiers: tuple[str, ...]) -> None:
    """Remove tokens, by their first six letters. Nodes that have joined stay."""
    layout, _ = control_plane(state_dir)
    for given in identifiers:
        identifier = given.partition(".")[0]
        if not bootstrap_tokens.IDENTIFIER.fullmatch(identifier):
            stop(f"{identifier!r} is no id of a token: six of a-z and 0-9, see `skiff token list`")
        path = f"{SECRETS}/{bootstrap_tokens.PREFIX}{identifier}"
        ask(layout, lambda client, path=path: client.delete(path))  # type: ignore[misc]
        click.echo(f"token {identifier} is deleted")


def control_plane(state_dir: Path) -> tuple[Layout, Settings]:
    """The cluster whose control plane is on this host; ends the command where there is none."""
    layout = Layout.of(state_dir)
    try:
        wanted = settings.load(layout.settings)
    except (SettingsError, PermissionError) as error:
        stop(f"{error}; tokens are made by root")
    if wanted is None:
        stop(f"there is no cluster in {layout.state}; `skiff up` makes one")
    if wanted.role != "control-plane":
        stop(f"this host is a worker; run it on the control plane, {wanted.server}")
    return layout, wanted


def ask(layout: Layout, question: Callable[[RestClient], Awaitable[T]]) -> T:
    """The apiserver's answer to the admin; a refusal ends the command with the apiserver's sentence."""

    async def run() -> T:
        client = RestClient(KubeConfig.load(layout.admin_kubeconfig), "skiff")
        try:
            return await question(client)
        finally:
            await client.close()

    try:
        return asyncio.run(run())
    except StatusError as error:
        stop(error.message)
    except KubeConfigError as error:
        stop(f"{error}; `skiff up` makes it")
    except httpx.TransportError as error:
        stop(f"the apiserver does not answer ({error}); `skiff status` shows what runs")


def _words(text: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in text.split(",") if word.strip())


def _left(expires: float | None, now: float) -> str:
    if expires is None:
        return "<forever>"
    if expires <= now:
        return "<expired>"
    minutes = int(expires - now) // 60
    return f"{minutes // 60}h{minutes % 60:02d}m" if minutes >= 60 else f"{minutes}m{int(expires - now) % 60:02d}s"
