"""`top`: CPU and memory, where the cluster has the metrics API."""

from __future__ import annotations

from typing import Any

import click

from apimachinery.errors import StatusError
from apimachinery.quantity import Quantity
from skiff.ctl.failures import Failure
from skiff.ctl.printing.columns import Columns
from skiff.ctl.session import Session
from skiff.ctl.targets import everywhere_option, selector_option
from skiff.ctl.words import Group, command

top_command = Group("top", help="Show the use of CPU and memory.")
_BASE = "/apis/metrics.k8s.io/v1beta1"


async def _measured(session: Session, path: str, selector: str) -> list[dict[str, Any]]:
    try:
        answer = await session.client.get(path, {"labelSelector": selector} if selector else None)
    except StatusError as error:
        if error.code in (404, 503):
            raise Failure("Metrics API not available") from None
        raise
    found: list[dict[str, Any]] = answer.get("items", [answer])
    return found


def _usage(usage: dict[str, str]) -> tuple[int, int]:
    """Thousandths of a CPU, and MiB."""
    return Quantity.parse(usage["cpu"]).milli_value(), Quantity.parse(usage["memory"]).value() // (1 << 20)


@command("pods")
@click.argument("name", default="")
@selector_option
@everywhere_option
@click.option("--containers", is_flag=True, help="Each container on its own.")
@click.option("--no-headers", is_flag=True)
async def pods(
    session: Session, name: str, selector: str, everywhere: bool, containers: bool, no_headers: bool
) -> None:
    """Of pods."""
    middle = "" if everywhere else f"/namespaces/{session.namespace}"
    found = await _measured(session, f"{_BASE}{middle}/pods{'/' + name if name else ''}", selector)
    head = (["NAMESPACE"] if everywhere else []) + (["POD", "NAME"] if containers else ["NAME"])
    rows = [] if no_headers else [[*head, "CPU(cores)", "MEMORY(bytes)"]]
    for pod in found:
        metadata = pod["metadata"]
        start = ([metadata["namespace"]] if everywhere else []) + [metadata["name"]]
        usages = [(one["name"], *_usage(one["usage"])) for one in pod["containers"]]
        if containers:
            rows += [[*start, one, f"{cpu}m", f"{memory}Mi"] for one, cpu, memory in usages]
        else:
            rows.append([*start, f"{sum(one[1] for one in usages)}m", f"{sum(one[2] for one in usages)}Mi"])
    for line in Columns().lines(rows):
        click.echo(line)


@command("nodes")
@click.argument("name", default="")
@selector_option
@click.option("--no-headers", is_flag=True)
async def nodes(session: Session, name: str, selector: str, no_headers: bool) -> None:
    """Of nodes."""
    found = await _measured(session, f"{_BASE}/nodes{'/' + name if name else ''}", selector)
    known = {one["metadata"]["name"]: one for one in (await session.client.get("/api/v1/nodes"))["items"]}
    rows = [] if no_headers else [["NAME", "CPU(cores)", "CPU(%)", "MEMORY(bytes)", "MEMORY(%)"]]
    for node in found:
        cpu, memory = _usage(node["usage"])
        have_cpu, have_memory = _usage(known[node["metadata"]["name"]]["status"]["allocatable"])
        shares = [f"{cpu}m", f"{cpu * 100 // have_cpu}%", f"{memory}Mi", f"{memory * 100 // have_memory}%"]
        rows.append([node["metadata"]["name"], *shares])
    for line in Columns().lines(rows):
        click.echo(line)


for _command in (pods, nodes):
    top_command.add_command(_command)
top_command.add_command(pods, "pod")
top_command.add_command(nodes, "node")
