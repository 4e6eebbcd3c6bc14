"""`skiff down`, `skiff status`, `skiff doctor`, `skiff logs`, `skiff certs`."""

from __future__ import annotations

import asyncio
import os
import subprocess
from pathlib import Path

import click

from component_base.clock import SystemClock
from kubeclient.kubeconfig import KubeConfigError
from skiff.cluster import certificates, host, host_files, joining, launch, settings, status, teardown, user_kubeconfig
from skiff.cluster.layout import DEFAULT_STATE, Layout
from skiff.cluster.settings import SettingsError
from skiff.commands.output import Progress, stop, table
from skiff.commands.up import CONTEXT

STATE_DIR = click.option(
    "--state-dir",
    type=click.Path(path_type=Path),
    default=DEFAULT_STATE,
    show_default=True,
    help="Folder of the cluster.",
)


@click.command(short_help="stop the cluster, keep its state")
@STATE_DIR
@click.option("--purge", is_flag=True, help="Also remove containers, network, state and the kubeconfig context.")
def down(state_dir: Path, purge: bool) -> None:
    """Stop every service and container of this host's cluster. `skiff up` brings everything back."""
    layout, clock = Layout.of(state_dir), SystemClock()
    progress = Progress(clock)
    if os.geteuid() != 0:
        stop("stopping a cluster needs root; run `sudo skiff down`")
    if not layout.settings.exists() and not launch.supervisor_pid(layout):
        if purge:
            host_files.remove(layout)
        click.echo(f"There is no cluster in {layout.state}.")
        return
    if not asyncio.run(launch.stop_supervisor(layout, clock)):
        stop(f"the supervisor did not end; see {layout.log_of('supervisor')}")
    teardown.end_services(layout)
    progress.say("services have ended")
    teardown.end_containers(layout)
    progress.say("containers have ended")
    if not purge:
        return
    teardown.remove_network()
    if left := host_files.remove(layout):
        stop(f"could not remove {', '.join(map(str, left))}: something is still mounted there")
    path = user_kubeconfig.path_of_user(os.environ)
    try:
        existing = user_kubeconfig.read(path)
    except user_kubeconfig.KubeconfigError as error:
        stop(str(error))
    if existing is not None:
        user_kubeconfig.write(path, user_kubeconfig.remove_context(existing, CONTEXT))
    progress.say("state, network and context are removed")


@click.command("status", short_help="what runs, since when, and what is wrong")
@STATE_DIR
def show_status(state_dir: Path) -> None:
    """Exit code 0 when every service is ready."""
    layout, clock = Layout.of(state_dir), SystemClock()
    current = status.read(layout.status)
    if current is None:
        stop(f"there is no cluster in {layout.state}; `skiff up` makes one")
    alive = launch.supervisor_pid(layout) != 0
    now = clock.now()
    rows = []
    for process in current.processes:
        running = status.is_running(process.pid, process.argv)
        state = process.state if running or process.state in ("waiting", "backoff", "stopped") else "ended"
        since = _age(now - process.since) if process.since else "-"
        rows.append(
            (process.name, state, str(process.pid or "-"), since, str(process.restarts), process.last_exit or "-")
        )
    table(("SERVICE", "STATE", "PID", "FOR", "RESTARTS", "LAST END"), rows)
    soonest = certificates.expiries(layout, clock)[:1]
    for expiry in soonest:
        click.echo(f"\nThe first certificate to end is {expiry.name}, in {expiry.days:.0f} days.")
    if not alive:
        stop("the supervisor is not running, so nothing is restarted; run `skiff up`")
    if any(row[1] != "ready" for row in rows):
        raise SystemExit(1)


def _age(seconds: float) -> str:
    whole = int(max(0, seconds))
    if whole < 120:
        return f"{whole}s"
    if whole < 7200:
        return f"{whole // 60}m"
    return f"{whole // 3600}h" if whole < 172800 else f"{whole // 86400}d"


@click.command(short_help="look at this host for what a cluster needs")
def doctor() -> None:
    """One line for each thing looked at; exit code 1 when something needed is missing."""
    bad = 0
    for finding in host.inspect_host():
        mark = "ok  " if finding.ok else ("MISS" if finding.fatal else "warn")
        click.echo(f"{mark}  {finding.subject}: {finding.detail}")
        if not finding.ok:
            click.echo(f"      {finding.advice}")
            bad += finding.fatal
    raise SystemExit(1 if bad else 0)


@click.command(short_help="the log of a service")
@click.argument("service")
@STATE_DIR
@click.option("-f", "--follow", is_flag=True, help="Go on as it grows.")
@click.option("-n", "--lines", default=100, show_default=True, help="How many of the last lines.")
def logs(service: str, state_dir: Path, follow: bool, lines: int) -> None:
    layout = Layout.of(state_dir)
    path = layout.log_of(service)
    if "/" in service or not path.exists():
        have = ", ".join(sorted(p.stem for p in layout.logs.glob("*.log"))) or "none yet"
        stop(f"no log of {service!r}; there are: {have}")
    command = ["tail", "-n", str(lines), *(["-F"] if follow else []), str(path)]
    raise SystemExit(subprocess.run(command, check=False).returncode)


@click.group(short_help="certificates: show, renew")
def certs() -> None:
    """The certificates of the cluster on this host."""


@certs.command("show")
@STATE_DIR
def certs_show(state_dir: Path) -> None:
    """What each certificate says and when it ends."""
    layout = Layout.of(state_dir)
    rows = [(e.name, e.subject, f"{e.days:.0f}d") for e in certificates.expiries(layout, SystemClock())]
    if not rows:
        stop(f"there are no certificates in {layout.pki}; `skiff up` makes them")
    table(("CERTIFICATE", "SUBJECT", "ENDS IN"), rows)


@certs.command("renew")
@STATE_DIR
def certs_renew(state_dir: Path) -> None:
    """Make all certificates anew, with the same authorities. Servers take them up within seconds."""
    layout = Layout.of(state_dir)
    try:
        wanted = settings.load(layout.settings)
    except SettingsError as error:
        stop(str(error))
    if wanted is None:
        stop(f"there is no cluster in {layout.state}; `skiff up` makes one")
    try:
        if wanted.role == "worker":  # its kubelet renews its own by itself
            renewed = asyncio.run(joining.renew_agents(wanted, layout, SystemClock(), force=True))
        else:
            renewed = certificates.ensure(wanted, layout, SystemClock(), renew=True)
    except (SettingsError, KubeConfigError) as error:
        stop(str(error))
    for name in renewed:
        click.echo(name)
    click.echo("Clients (kubelet, scheduler, …) read theirs at their next start; `skiff up` refreshes your context.")
