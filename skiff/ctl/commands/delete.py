"""`delete`: by files, names or labels; waits until the objects are gone, as kubectl does."""

from __future__ import annotations

import asyncio
from typing import Any

import click

from apimachinery.errors import StatusError
from skiff.ctl.changes import dry_run_option, lasting
from skiff.ctl.failures import Failure, Said, lines
from skiff.ctl.manifests import filename_options, load
from skiff.ctl.session import Session, seconds
from skiff.ctl.targets import Target, at, everywhere_option, field_selector_option, listed, resolve, selector_option
from skiff.ctl.waiting import gone
from skiff.ctl.words import command

_CASCADES = {
    "background": "Background",
    "foreground": "Foreground",
    "orphan": "Orphan",
    "true": "Background",
    "false": "Orphan",
}


@command("delete")
@click.argument("words", nargs=-1, metavar="TYPE [NAME…] | TYPE/NAME…")
@filename_options
@selector_option
@field_selector_option
@everywhere_option
@click.option("--all", "all_", is_flag=True, help="All objects of the type.")
@click.option("--wait/--no-wait", default=True, help="Wait until the objects are gone.")
@click.option("--timeout", default="0s", help="How long to wait; 0s: as long as it takes.")
@click.option("--grace-period", type=int, default=-1, help="Seconds pods get to end; -1: their own.")
@click.option("--now", is_flag=True, help="A grace period of 1.")
@click.option("--force", is_flag=True, help="With --grace-period=0: do not wait for the node.")
@click.option(
    "--cascade", type=click.Choice(list(_CASCADES)), default="background", is_flag=False, flag_value="background"
)
@click.option("--ignore-not-found", is_flag=True, help="What is missing is no error.")
@click.option("-o", "--output", type=click.Choice(["", "name"]), default="")
@click.option("-i", "--interactive", is_flag=True, help="Ask first.")
@click.option("--raw", default="", hidden=True)
@dry_run_option
async def delete_command(session: Session, **given: Any) -> None:
    """Delete objects.

    \b
    skiffctl delete -f hello.yaml
    skiffctl delete pods -l app=hello
    skiffctl delete pod/x --grace-period=0 --force
    """
    if given["raw"]:
        await session.client.delete(given["raw"])
        return
    await _Deletion(session, given).run()


class _Deletion:
    def __init__(self, session: Session, given: dict[str, Any]) -> None:
        self.session = session
        self.given = given
        self.failed = False
        self.grace = 1 if given["now"] else given["grace_period"]
        if given["force"] and self.grace < 0:
            self.grace = 0

    async def _targets(self) -> list[Target]:
        given = self.given
        if given["filename"] or given["kustomize"]:
            catalog = await self.session.catalog()
            objects = load(given["filename"], given["recursive"], given["kustomize"])
            return [at(catalog, obj, self.session.namespace) for obj in objects]
        found = await resolve(self.session, given["words"], everywhere=given["everywhere"])
        named = any(one.name for one in found)
        if named and (given["all_"] or given["selector"] or given["field_selector"]):
            raise Failure("name cannot be provided when a selector is specified")
        if named:
            return found
        if not (given["all_"] or given["selector"] or given["field_selector"]):
            raise Failure("resource(s) were provided, but no name was specified")
        targets: list[Target] = []
        for one in found:
            for obj in await listed(self.session, one, given["selector"], given["field_selector"]):
                metadata = obj["metadata"]
                targets.append(Target(one.type, metadata.get("namespace", ""), metadata["name"]))
        return targets

    async def run(self) -> None:
        targets = await self._targets()
        if not targets and not self.given["ignore_not_found"]:
            click.echo("No resources found", err=True)
        if self.given["interactive"] and targets:
            for target in targets:
                click.echo(str(target))
            if not click.confirm("Do you want to continue?"):
                return
        if self.grace == 0 and self.given["force"]:
            self.session.warn(
                "Immediate deletion does not wait for confirmation that the running resource has been terminated. "
                "The resource may continue to run on the cluster indefinitely."
            )
        deleted: list[tuple[Target, str]] = []
        for target in targets:
            try:
                deleted.append((target, await self._delete(target)))
            except StatusError as error:
                if self.given["ignore_not_found"] and error.code == 404:
                    continue
                self.failed = True
                for line in lines(error) or ():
                    click.echo(line, err=True)
        if self.given["wait"] and self.given["dry_run"] == "none":
            await self._wait(deleted)
        if self.failed:
            raise Said

    async def _delete(self, target: Target) -> str:
        """The uid of what was deleted, so that one of the same name that comes after it is told apart."""
        uid = ""
        if self.given["dry_run"] == "client":
            uid = (await self.session.client.get(target.path))["metadata"]["uid"]
        else:
            body: dict[str, Any] = {"kind": "DeleteOptions", "apiVersion": "v1"}
            body["propagationPolicy"] = _CASCADES[self.given["cascade"]]
            if self.grace >= 0:
                body["gracePeriodSeconds"] = self.grace
            answer = await self.session.client.delete(target.path, body, lasting(self.given["dry_run"]))
            uid = (answer.get("details") or {}).get("uid") or (answer.get("metadata") or {}).get("uid") or ""
        self._say(target)
        return uid

    def _say(self, target: Target) -> None:
        if self.given["output"] == "name":
            click.echo(str(target))
            return
        what = "force deleted" if self.grace == 0 and self.given["force"] else "deleted"
        ran = {"client": " (dry run)", "server": " (server dry run)"}.get(self.given["dry_run"], "")
        where = f" from {target.namespace} namespace" if target.namespace else ""
        kind = target.type.prefix
        click.echo(f'{kind} "{target.name}" {what}{where}{ran}')

    async def _wait(self, deleted: list[tuple[Target, str]]) -> None:
        limit = seconds(self.given["timeout"]) or None
        async with asyncio.timeout(limit):
            for target, uid in deleted:
                await gone(self.session, target, uid)
