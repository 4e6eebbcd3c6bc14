"""`skiff join`: make this host a worker of a cluster that runs elsewhere."""

from __future__ import annotations

import asyncio
from pathlib import Path

import click

from component_base.clock import Clock, SystemClock
from component_base.pki import write_private
from kubeclient.kubeconfig import KubeConfig, KubeConfigError
from kubeclient.rest import RestClient
from skiff.cluster import certificates, host, host_files, joining, launch, settings
from skiff.cluster.joining import Invitation
from skiff.cluster.layout import DEFAULT_STATE, Layout
from skiff.cluster.settings import Settings, SettingsError
from skiff.commands.output import Progress, stop
from skiff.commands.up import Cluster, bring_up


@click.command(short_help="make this host a worker of a cluster")
@click.option("--server", default="", help="URL of the cluster's apiserver, https://HOST:PORT.")
@click.option("--token", default="", help="A token made there by `skiff token create`.")
@click.option("--ca-hash", default="", help="sha256:… of the cluster's authority, from the same place.")
@click.option("--node-name", default=None, help="Name of this node; the host's name by default.")
@click.option("--node-ip", default=None, help="Address of this node; the one towards the outside by default.")
@click.option(
    "--state-dir",
    type=click.Path(path_type=Path),
    default=DEFAULT_STATE,
    show_default=True,
    help="Folder of the node.",
)
@click.option("--wait/--no-wait", default=True, show_default=True, help="Wait until the node is Ready.")
def join(
    server: str, token: str, ca_hash: str, node_name: str | None, node_ip: str | None, state_dir: Path, wait: bool
) -> None:
    """Make this host a worker. Once it has joined, the command (or `skiff up`) starts it again without a token."""
    clock = SystemClock()
    progress, layout = Progress(clock), Layout.of(state_dir)
    try:
        wanted = asyncio.run(joined(layout, (server, token, ca_hash), (node_name, node_ip), clock, progress))
        asyncio.run(bring_up(Cluster(wanted, layout), clock, progress, wait))
    except (SettingsError, KubeConfigError) as error:
        stop(str(error))
    except KeyboardInterrupt:
        stop("interrupted; what has started goes on: `skiff status` shows it, `skiff down` stops it", 130)
    click.echo(f"\nThis host is node {wanted.node_name} of {wanted.server}.")


async def joined(
    layout: Layout,
    invited: tuple[str, str, str],
    node: tuple[str | None, str | None],
    clock: Clock,
    progress: Progress,
) -> Settings:
    """Settings of a worker whose identities are on disk, asked for now or earlier. Raises SettingsError."""
    facts = host.facts()
    if not facts.is_root:
        raise SettingsError("joining a cluster needs root, for containers and network; run `sudo skiff join …`")
    if facts.missing_tools:
        missing = ", ".join(facts.missing_tools)
        raise SettingsError(f"missing on this host: {missing}; `make setup` installs them, `skiff doctor` says more")
    existing = settings.load(layout.settings)
    if existing is not None:
        return _again(existing, layout, invited, node)
    invitation = joining.invitation(*invited)
    address = node[1] or facts.primary_ip
    if not address:
        raise SettingsError("--node-ip: this host has no address but loopback; give it one or name it here")
    return await _first_time(layout, invitation, (node[0] or facts.hostname, address), clock, progress)


def _again(
    existing: Settings, layout: Layout, invited: tuple[str, str, str], node: tuple[str | None, str | None]
) -> Settings:
    """Join a second time: the identities are there, only what was said must still be true."""
    server, token, _ = invited
    if existing.role != "worker":
        raise SettingsError(
            f"this host has a control plane of its own in {layout.state}; `skiff down --purge` removes it"
        )
    if server and existing.server not in (server, server.rstrip("/"), f"https://{server}"):
        raise SettingsError(f"--server: this host belongs to {existing.server}; `skiff down --purge` makes it leave")
    for flag, given, have in (
        ("--node-name", node[0], existing.node_name),
        ("--node-ip", node[1], existing.node_ip),
    ):
        if given and given != have:
            raise SettingsError(f"{flag}: this node has {have}; `skiff down --purge` first to join as {given}")
    if token and not (layout.kubeconfigs / "kubelet.conf").exists():
        # The first join was cut off before the kubelet had its identity; the first token may have ended since.
        ca = (layout.pki / "ca.crt").read_bytes()
        write_private(layout.kubeconfigs / joining.BOOTSTRAP, certificates.kubeconfig(existing.server, ca, token=token))
    return existing


async def _first_time(
    layout: Layout, invited: Invitation, node: tuple[str, str], clock: Clock, progress: Progress
) -> Settings:
    name, address = node
    ca = await joining.discover(invited, clock)
    progress.say("the cluster's authority has the hash that was given")
    client = RestClient(KubeConfig(invited.server, ca, token=invited.token), "skiff", clock)
    try:
        wanted = await joining.learn(client, invited, name, address)
        if problem := launch.taken_ports(wanted):
            raise SettingsError(problem)
        agents = await joining.obtain_agents(client, invited.server, ca, clock)
    finally:
        await client.close()
    host_files.prepare(wanted, layout)
    bootstrap = certificates.kubeconfig(invited.server, ca, token=invited.token)
    joining.write(layout, ca, agents, bootstrap)
    # Last: a join that was cut off before this line is simply done again.
    settings.save(layout.settings, wanted)
    progress.say(f"certificates in {layout.kubeconfigs}")
    return wanted
