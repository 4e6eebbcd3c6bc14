"""`rollout status`: one line for each step, until all pods are the new ones."""

from __future__ import annotations

import asyncio
from typing import Any

import click

from skiff.ctl.commands.scale import chosen
from skiff.ctl.failures import Failure
from skiff.ctl.manifests import filename_options
from skiff.ctl.session import Session, seconds
from skiff.ctl.targets import selector_option
from skiff.ctl.waiting import versions
from skiff.ctl.words import command


@command("status")
@click.argument("words", nargs=-1, metavar="TYPE NAME | TYPE/NAME")
@filename_options
@selector_option
@click.option("-w", "--watch/--no-watch", default=True, help="Wait until it is done.")
@click.option("--timeout", default="0s", help="How long to wait; 0s: as long as it takes.")
@click.option("--revision", type=int, default=0, help="Stop when another revision begins.")
async def status_command(session: Session, **given: Any) -> None:
    """Show how far a rollout is, until it is done."""
    async with asyncio.timeout(seconds(given["timeout"]) or None):
        for target in await chosen(session, given):
            last = ""
            async for obj in versions(session, target):
                if obj is None:
                    await session.client.get(target.path)  # says that there is none
                    raise Failure("object has been deleted")
                line, done = progress(obj, given["revision"])
                if line != last:
                    click.echo(line)
                    last = line
                if done or not given["watch"]:
                    break


def progress(obj: dict[str, Any], revision: int = 0) -> tuple[str, bool]:
    """What to say, and whether the rollout is done. Raises Failure when it never will be."""
    kind = obj["kind"]
    judges = {"Deployment": _deployment, "DaemonSet": _daemon_set, "StatefulSet": _stateful_set}
    if kind not in judges:
        raise Failure(f"no status viewer has been implemented for {kind}")
    status = obj.get("status") or {}
    if kind == "Deployment" and revision:
        annotations = obj["metadata"].get("annotations") or {}
        if annotations.get("deployment.kubernetes.io/revision") != str(revision):
            raise Failure(f"desired revision ({revision}) is different from the running revision")
    if obj["metadata"]["generation"] > status.get("observedGeneration", 0):
        waiting = {"Deployment": "deployment", "DaemonSet": "daemon set", "StatefulSet": "statefulset"}[kind]
        return f"Waiting for {waiting} spec update to be observed...", False
    return judges[kind](obj["metadata"]["name"], obj["spec"], status)


def _deployment(name: str, spec: dict[str, Any], status: dict[str, Any]) -> tuple[str, bool]:
    for condition in status.get("conditions") or ():
        if condition["type"] == "Progressing" and condition.get("reason") == "ProgressDeadlineExceeded":
            raise Failure(f'deployment "{name}" exceeded its progress deadline')
    wanted = spec.get("replicas", 1)
    have, updated = status.get("replicas", 0), status.get("updatedReplicas", 0)
    available = status.get("availableReplicas", 0)
    start = f'Waiting for deployment "{name}" rollout to finish: '
    if updated < wanted:
        return f"{start}{updated} out of {wanted} new replicas have been updated...", False
    if have > updated:
        return f"{start}{have - updated} old replicas are pending termination...", False
    if available < updated:
        return f"{start}{available} of {updated} updated replicas are available...", False
    return f'deployment "{name}" successfully rolled out', True


def _daemon_set(name: str, spec: dict[str, Any], status: dict[str, Any]) -> tuple[str, bool]:
    if (spec.get("updateStrategy") or {}).get("type") != "RollingUpdate":
        raise Failure("rollout status is only available for RollingUpdate strategy type")
    wanted, updated = status.get("desiredNumberScheduled", 0), status.get("updatedNumberScheduled", 0)
    available = status.get("numberAvailable", 0)
    start = f'Waiting for daemon set "{name}" rollout to finish: '
    if updated < wanted:
        return f"{start}{updated} out of {wanted} new pods have been updated...", False
    if available < wanted:
        return f"{start}{available} of {wanted} updated pods are available...", False
    return f'daemon set "{name}" successfully rolled out', True


def _stateful_set(name: str, spec: dict[str, Any], status: dict[str, Any]) -> tuple[str, bool]:
    strategy = spec.get("updateStrategy") or {}
    if strategy.get("type") != "RollingUpdate":
        raise Failure("rollout status is only available for RollingUpdate strategy type")
    wanted, ready = spec.get("replicas", 1), status.get("readyReplicas", 0)
    if ready < wanted:
        return f"Waiting for {wanted - ready} pods to be ready...", False
    updated = status.get("updatedReplicas", 0)
    if partition := (strategy.get("rollingUpdate") or {}).get("partition", 0):
        if updated < wanted - partition:
            waiting = f"{updated} out of {wanted - partition} new pods have been updated..."
            return f"Waiting for partitioned roll out to finish: {waiting}", False
        return f"partitioned roll out complete: {updated} new pods have been updated...", True
    if status.get("updateRevision") != status.get("currentRevision"):
        at = f"{updated} pods at revision {status.get('updateRevision')}"
        return f"waiting for statefulset rolling update to complete {at}...", False
    current = f"{status.get('currentReplicas', 0)} pods at revision {status.get('currentRevision')}"
    return f"statefulset rolling update complete {current}...", True
