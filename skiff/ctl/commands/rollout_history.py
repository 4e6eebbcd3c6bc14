"""`rollout history` and `undo`: revisions live in replica sets (deployments) and controller revisions (the others)."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import click

from kubeclient.rest import JSON_PATCH, STRATEGIC
from skiff.ctl.changes import dry_run_option, lasting
from skiff.ctl.commands.scale import chosen
from skiff.ctl.failures import Failure
from skiff.ctl.manifests import filename_options
from skiff.ctl.pods import selector_of
from skiff.ctl.printing.columns import aligned
from skiff.ctl.printing.formats import output_option, printer, report
from skiff.ctl.session import Session
from skiff.ctl.targets import Target, listed, selector_option
from skiff.ctl.words import command

_REVISION = "deployment.kubernetes.io/revision"
_CAUSE = "kubernetes.io/change-cause"
_HASH = "pod-template-hash"


@dataclass(frozen=True, slots=True)
class Revision:
    """`patch` brings the object back to it."""

    number: int
    cause: str
    template: dict[str, Any]
    patch: Any
    holder: dict[str, Any]


async def revisions(session: Session, target: Target, obj: dict[str, Any]) -> list[Revision]:
    """Oldest first. Raises Failure for types that have none."""
    catalog = await session.catalog()
    uid = obj["metadata"]["uid"]
    if obj["kind"] == "Deployment":
        sets = await listed(session, Target(catalog.find("replicasets.apps"), target.namespace), selector_of(obj))
        found = [_of_replica_set(one) for one in sets if _owned(one, uid) and _annotation(one, _REVISION)]
    elif obj["kind"] in ("DaemonSet", "StatefulSet"):
        type_ = catalog.find("controllerrevisions.apps")
        held = await listed(session, Target(type_, target.namespace), selector_of(obj))
        found = [_of_controller_revision(one) for one in held if _owned(one, uid)]
    else:
        raise Failure(f"no history viewer has been implemented for {obj['kind']}")
    return sorted(found, key=lambda one: one.number)


def _of_replica_set(obj: dict[str, Any]) -> Revision:
    template = json.loads(json.dumps(obj["spec"]["template"]))
    template.get("metadata", {}).get("labels", {}).pop(_HASH, None)
    patch = [{"op": "replace", "path": "/spec/template", "value": template}]
    return Revision(int(_annotation(obj, _REVISION)), _annotation(obj, _CAUSE), obj["spec"]["template"], patch, obj)


def _of_controller_revision(obj: dict[str, Any]) -> Revision:
    data = obj.get("data") or {}
    template = {
        key: value for key, value in ((data.get("spec") or {}).get("template") or {}).items() if key != "$patch"
    }
    return Revision(int(obj["revision"]), _annotation(obj, _CAUSE), template, data, obj)


def _annotation(obj: dict[str, Any], name: str) -> str:
    return str((obj["metadata"].get("annotations") or {}).get(name) or "")


def _owned(obj: dict[str, Any], uid: str) -> bool:
    return any(one.get("uid") == uid and one.get("controller") for one in obj["metadata"].get("ownerReferences") or ())


@command("history")
@click.argument("words", nargs=-1, metavar="TYPE NAME | TYPE/NAME")
@filename_options
@selector_option
@output_option
@click.option("--revision", type=int, default=0, help="Show the pod template of this revision.")
async def history_command(session: Session, **given: Any) -> None:
    """List revisions, or show one."""
    for target in await chosen(session, given):
        found = await revisions(session, target, await session.client.get(target.path))
        if not given["revision"]:
            click.echo(f"{target} ")
            rows = ["REVISION\tCHANGE-CAUSE"] + [f"{one.number}\t{one.cause or '<none>'}" for one in found]
            for line in aligned(rows):
                click.echo(line)
            click.echo()
            continue
        one = next((one for one in found if one.number == given["revision"]), None)
        if one is None:
            raise Failure("unable to find the specified revision")
        if (shape := printer(given["output"])) is not None:
            click.echo(shape(one.holder), nl=False)
            continue
        from skiff.ctl.describe.template import template_lines

        click.echo(f"{target} with revision #{one.number}")
        for line in aligned(template_lines(one.template)):
            click.echo(line)
        click.echo()


@command("undo")
@click.argument("words", nargs=-1, metavar="TYPE NAME | TYPE/NAME")
@filename_options
@selector_option
@output_option
@dry_run_option
@click.option("--to-revision", type=int, default=0, help="Which revision; 0: the last one before this.")
async def undo_command(session: Session, **given: Any) -> None:
    """Go back to an earlier revision."""
    for target in await chosen(session, given):
        obj = await session.client.get(target.path)
        found = await revisions(session, target, obj)
        wanted = given["to_revision"]
        if wanted:
            one = next((one for one in found if one.number == wanted), None)
            if one is None:
                raise Failure(f"unable to find specified revision {wanted} in history")
        else:
            if len(found) < 2:
                raise Failure(f'no rollout history found for {target.type.kind.lower()} "{target.name}"')
            one = found[-2]
        if obj["spec"].get("paused"):
            raise Failure(
                f"you cannot rollback a paused deployment; resume it first with "
                f"'skiffctl rollout resume {target}' and try again"
            )
        what = "rolled back"
        if one is found[-1]:
            what = f"skipped rollback (current template already matches revision {one.number})"
        elif given["dry_run"] != "client":
            kind = JSON_PATCH if obj["kind"] == "Deployment" else STRATEGIC
            obj = await session.client.patch(target.path, one.patch, kind, lasting(given["dry_run"], "skiffctl"))
        report(obj, what, given["output"], given["dry_run"])
