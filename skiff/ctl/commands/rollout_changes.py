"""`rollout restart`, `pause` and `resume`."""

from __future__ import annotations

from typing import Any

import click

from apimachinery import timestamps
from apimachinery.errors import StatusError
from kubeclient.rest import MERGE
from skiff.ctl.changes import lasting, manager_option
from skiff.ctl.commands.scale import chosen
from skiff.ctl.failures import Failure, Said, lines
from skiff.ctl.manifests import filename_options
from skiff.ctl.printing.formats import output_option, report
from skiff.ctl.session import Session
from skiff.ctl.targets import Target, selector_option
from skiff.ctl.words import Command, command

_RESTARTED = "kubectl.kubernetes.io/restartedAt"
_RESTARTS = ("Deployment", "DaemonSet", "StatefulSet")


def _declare(name: str, summary: str) -> Command:
    async def run(session: Session, **given: Any) -> None:
        failed = False
        for target in await chosen(session, given):
            try:
                obj = await session.client.get(target.path)
                patch, done = _change(name, target, obj, session.now())
                if patch:
                    params = lasting("none", given["field_manager"] or "skiffctl")
                    obj = await session.client.patch(target.path, patch, MERGE, params)
                report(obj, done, given["output"])
            except (StatusError, Failure) as error:
                failed = True
                for line in lines(error) or ():
                    click.echo(line, err=True)
        if failed:
            raise Said

    run.__doc__ = summary
    words = click.argument("words", nargs=-1, metavar="TYPE NAME… | TYPE/NAME…")
    decorated: Any = run
    for decorator in (manager_option, output_option, selector_option, filename_options, words):
        decorated = decorator(decorated)
    return command(name)(decorated)


def _change(name: str, target: Target, obj: dict[str, Any], now: float) -> tuple[dict[str, Any], str]:
    """The patch, and what to say once it is made."""
    kind = obj["kind"]
    paused = bool(obj["spec"].get("paused")) if "spec" in obj else False
    if name == "restart":
        if kind not in _RESTARTS:
            raise Failure(f"{target} restarting is not supported")
        if paused:
            raise Failure(f"can't restart paused deployment (run rollout resume first): {target}")
        annotations = {_RESTARTED: timestamps.format(now)}
        return {"spec": {"template": {"metadata": {"annotations": annotations}}}}, "restarted"
    if kind != "Deployment":
        raise Failure(f"{target} {'pausing' if name == 'pause' else 'resuming'} is not supported")
    if name == "pause":
        if paused:
            raise Failure(f"{target} is already paused")
        return {"spec": {"paused": True}}, "paused"
    if not paused:
        raise Failure(f"{target} is not paused")
    return {"spec": {"paused": None}}, "resumed"


restart_command = _declare("restart", "Replace all pods, one after the other.")
pause_command = _declare("pause", "Let changes of a deployment wait.")
resume_command = _declare("resume", "Let changes of a deployment happen again.")
