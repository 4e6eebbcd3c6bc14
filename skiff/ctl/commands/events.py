"""`events`: the newest last, as the reader wants them on a terminal."""

from __future__ import annotations

from typing import Any

import click

from skiff.ctl.describe.pieces import event_age, last_seen
from skiff.ctl.failures import Failure
from skiff.ctl.printing.columns import Columns
from skiff.ctl.printing.documents import list_of
from skiff.ctl.printing.formats import output_option, printer
from skiff.ctl.session import Session
from skiff.ctl.targets import Target, everywhere_option, listed, resolve
from skiff.ctl.words import command


@command("events")
@everywhere_option
@output_option
@click.option("--for", "about", default="", help="TYPE/NAME they are about.")
@click.option("--types", default="", help="Normal, Warning.")
@click.option("-w", "--watch", is_flag=True, help="Go on as they happen.")
@click.option("--no-headers", is_flag=True)
async def events_command(
    session: Session, everywhere: bool, output: str, about: str, types: str, watch: bool, no_headers: bool
) -> None:
    """List events."""
    catalog = await session.catalog()
    fields = ""
    if about:
        one = (await resolve(session, [about]))[0]
        if not one.name:
            raise Failure("--for must be in resource/name form")
        fields = f"involvedObject.kind={one.type.kind},involvedObject.name={one.name}"
    target = Target(catalog.find("events"), "" if everywhere else session.namespace)
    wanted = {word.capitalize() for word in types.split(",") if word}
    found = [event for event in await listed(session, target, "", fields) if not wanted or event.get("type") in wanted]
    found.sort(key=last_seen)
    if (shape := printer(output)) is not None:
        click.echo(shape(list_of(found)), nl=False)
        return
    if not found and not watch:
        click.echo("No events found" + ("." if everywhere else f" in {target.namespace} namespace."), err=True)
        return
    rows = (
        []
        if no_headers
        else [[*(["NAMESPACE"] if everywhere else []), "LAST SEEN", "TYPE", "REASON", "OBJECT", "MESSAGE"]]
    )
    columns = Columns()
    for line in columns.lines(rows + [_row(event, session.now(), everywhere) for event in found]):
        click.echo(line)
    if watch:
        await _follow(session, target, fields, everywhere, columns)


async def _follow(session: Session, target: Target, fields: str, everywhere: bool, columns: Columns) -> None:
    import json

    params = {"fieldSelector": fields} if fields else {}
    while True:
        version = (await session.client.get(target.path, {**params, "limit": "1"}))["metadata"]["resourceVersion"]
        async for event in session.client.watch(target.path, {**params, "resourceVersion": version}):
            if event.type in ("ADDED", "MODIFIED"):
                for line in columns.lines([_row(json.loads(event.object), session.now(), everywhere)]):
                    click.echo(line)


def _row(event: dict[str, Any], now: float, everywhere: bool) -> list[str]:
    about = event.get("involvedObject") or {}
    cells = [event["metadata"].get("namespace", "")] if everywhere else []
    subject = f"{about.get('kind', '')}/{about.get('name', '')}"
    message = str(event.get("message") or "").strip()
    return [*cells, event_age(event, now), event.get("type", ""), event.get("reason", ""), subject, message]
