"""`get --watch`: what is there, then every change until the reader has seen enough."""

from __future__ import annotations

import json
from typing import Any

import click

from kubeclient.rest import refusal
from skiff.ctl.printing.formats import Printer, name_of
from skiff.ctl.printing.server_table import TABLE, TableOptions, TablePrinter
from skiff.ctl.session import Session
from skiff.ctl.targets import Target

LEADING = "EVENT"


async def follow(
    session: Session, target: Target, given: dict[str, Any], options: TableOptions, printer: Printer | None
) -> None:
    """Never returns on its own, except when the server says that it forgot what came before."""
    params: dict[str, str] = {}
    fields = [given["field_selector"], f"metadata.name={target.name}" if target.name else ""]
    if any(fields):
        params["fieldSelector"] = ",".join(filter(None, fields))
    if given["selector"]:
        params["labelSelector"] = given["selector"]
    collection = target.type.path(target.namespace)
    tables = printer is None and given["output"] != "name"
    accept = TABLE if tables else "application/json"
    show = _Shower(target, options, printer, given)
    if target.name:
        await session.client.get(target.path)  # what is not there is said at once
    listing = json.loads(await session.client.get_bytes(collection, params, accept))
    if not given["watch_only"]:
        show.listing(listing)
    version = str(listing["metadata"]["resourceVersion"])
    while True:
        async for event in session.client.watch(collection, {**params, "resourceVersion": version}, accept):
            obj = json.loads(event.object)
            if event.type == "ERROR":
                raise refusal(int(obj.get("code") or 500), event.object)
            version = _version(obj) or version
            if event.type != "BOOKMARK":
                show.event(event.type, obj)


def _version(obj: dict[str, Any]) -> str:
    if obj.get("kind") == "Table":
        rows = obj.get("rows") or [{}]
        obj = rows[-1].get("object") or obj
    return str((obj.get("metadata") or {}).get("resourceVersion") or "")


class _Shower:
    def __init__(self, target: Target, options: TableOptions, printer: Printer | None, given: dict[str, Any]) -> None:
        self._events = bool(given["output_watch_events"])
        self._kind = target.type
        self._printer = printer
        self._names = given["output"] == "name"
        self._table = TablePrinter(options, target.type, LEADING if self._events else "")

    def listing(self, listing: dict[str, Any]) -> None:
        if self._printer is None and not self._names:
            self._show_table(listing, "ADDED")
            return
        for item in listing.get("items") or ():
            self.event("ADDED", {"apiVersion": self._kind.api_version, "kind": self._kind.kind, **item})

    def event(self, kind: str, obj: dict[str, Any]) -> None:
        if self._names:
            click.echo(name_of(obj))
        elif self._printer is not None:
            click.echo(self._printer({"object": obj, "type": kind} if self._events else obj), nl=False)
        else:
            self._show_table(obj, kind)

    def _show_table(self, table: dict[str, Any], kind: str) -> None:
        self._table.add(table, kind)
        for line in self._table.text():
            click.echo(line)
