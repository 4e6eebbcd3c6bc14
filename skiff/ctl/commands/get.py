"""`get`: tables as the server lays them out, or objects in the format asked for."""

from __future__ import annotations

import json
from typing import Any

import click

from apimachinery.errors import StatusError
from skiff.ctl.failures import Failure, Said, lines
from skiff.ctl.manifests import filename_options, load
from skiff.ctl.printing.columns import Columns
from skiff.ctl.printing.documents import list_of
from skiff.ctl.printing.formats import name_of, output_option, printer
from skiff.ctl.printing.server_table import TABLE, TableOptions, TablePrinter
from skiff.ctl.session import Session
from skiff.ctl.targets import (
    Target,
    at,
    everywhere_option,
    field_selector_option,
    listed,
    query,
    resolve,
    selector_option,
)
from skiff.ctl.words import command


@command("get")
@click.argument("words", nargs=-1, metavar="TYPE[,TYPE] [NAME…] | TYPE/NAME…")
@output_option
@selector_option
@field_selector_option
@everywhere_option
@filename_options
@click.option("-w", "--watch", is_flag=True, help="Go on with changes as they happen.")
@click.option("--watch-only", is_flag=True, help="Changes only, without what is there now.")
@click.option("--output-watch-events", is_flag=True, help="Say whether each is ADDED, MODIFIED or DELETED.")
@click.option("--no-headers", is_flag=True, help="Leave the headings out.")
@click.option("--show-labels", is_flag=True, help="Add a column with the labels.")
@click.option("-L", "--label-columns", multiple=True, help="Add a column for a label.")
@click.option("--show-kind", is_flag=True, help="Names with their types.")
@click.option("--sort-by", default="", help="JSONPath of what to sort by.")
@click.option("--ignore-not-found", is_flag=True, help="What is missing is no error.")
@click.option("--show-managed-fields", is_flag=True, help="Keep metadata.managedFields.")
@click.option("--raw", default="", help="A path of the server's, printed as it comes.")
@click.option("--subresource", default="", help="status, scale, …")
@click.option("--chunk-size", type=int, default=500, hidden=True)
@click.option("--server-print/--no-server-print", default=True, hidden=True)
async def get_command(session: Session, **given: Any) -> None:
    """List objects, or show some in a format of your choice.

    \b
    skiffctl get pods -A -o wide
    skiffctl get deploy/hello -o yaml
    skiffctl get nodes -o jsonpath='{.items[*].metadata.name}'
    """
    if given["raw"]:
        click.echo(await session.client.get_bytes(given["raw"], accept="*/*"), nl=False)
        return
    await _Get(session, given).run()


class _Get:
    def __init__(self, session: Session, given: dict[str, Any]) -> None:
        self.session = session
        self.given = given
        self.output: str = given["output"]
        self.printer = printer(self.output, given["show_managed_fields"])
        self.failed = False

    async def run(self) -> None:
        given = self.given
        if given["filename"] or given["kustomize"]:
            catalog = await self.session.catalog()
            objects = load(given["filename"], given["recursive"], given["kustomize"])
            targets = [at(catalog, obj, self.session.namespace) for obj in objects]
        else:
            targets = await resolve(self.session, given["words"], everywhere=given["everywhere"])
        if any(one.name for one in targets):
            if given["everywhere"]:
                raise Failure("a resource cannot be retrieved by name across all namespaces")
            if given["selector"] or given["field_selector"]:
                raise Failure("selectors and names cannot be given together")
        if given["subresource"]:
            subresource = given["subresource"]
            targets = [Target(one.type, one.namespace, f"{one.name}/{subresource}") for one in targets]
        if given["watch"] or given["watch_only"]:
            await self._watch(targets)
        elif self.printer is not None or self.output.startswith(("name", "custom-columns")):
            await self._objects(targets)
        else:
            await self._tables(targets)
        if self.failed:
            raise Said

    def _missed(self, error: StatusError) -> None:
        if self.given["ignore_not_found"] and error.code == 404:
            return
        self.failed = True
        for line in lines(error) or ():
            click.echo(line, err=True)

    async def _objects(self, targets: list[Target]) -> None:
        objects: list[dict[str, Any]] = []
        for target in targets:
            try:
                objects += await listed(self.session, target, self.given["selector"], self.given["field_selector"])
            except StatusError as error:
                self._missed(error)
        if self.given["sort_by"]:
            objects = _ordered(objects, self.given["sort_by"])
        if self.output == "name":
            for obj in objects:
                click.echo(name_of(obj))
        elif self.output.startswith("custom-columns"):
            self._own_columns(objects)
        elif self.printer is not None:
            if len(targets) == 1 and targets[0].name:
                if objects:
                    click.echo(self.printer(objects[0]), nl=False)
            elif not self.failed or objects:
                click.echo(self.printer(list_of(objects)), nl=False)

    def _own_columns(self, objects: list[dict[str, Any]]) -> None:
        from pathlib import Path

        from skiff.ctl.printing.template import CustomColumns

        kind, _, rest = self.output.partition("=")
        if kind == "custom-columns-file":
            heads, paths = (line.split() for line in Path(rest).read_text().splitlines()[:2])
            rest = ",".join(f"{head}:{path}" for head, path in zip(heads, paths, strict=False))
        try:
            columns = CustomColumns.parse(rest)
        except ValueError as error:
            raise Failure(str(error)) from None
        rows = [] if self.given["no_headers"] else [list(columns.names)]
        for line in Columns().lines(rows + [columns.row(obj) for obj in objects]):
            click.echo(line)

    def _table_options(self, several: bool) -> TableOptions:
        given = self.given
        return TableOptions(
            wide=self.output == "wide",
            headers=not given["no_headers"],
            namespaces=given["everywhere"],
            labels=given["show_labels"],
            label_columns=tuple(name for word in given["label_columns"] for name in word.split(",")),
            kinds=several or given["show_kind"],
        )

    async def _tables(self, targets: list[Target]) -> None:
        types = list(dict.fromkeys(one.type for one in targets))
        printed = False
        for type_ in types:
            shown = TablePrinter(self._table_options(len(types) > 1), type_)
            for target in targets:
                if target.type is not type_:
                    continue
                try:
                    for table in await self._fetch(target):
                        shown.add(table)
                except StatusError as error:
                    self._missed(error)
            rows = shown.text(self.given["sort_by"])
            if rows:
                click.echo(("\n" if printed else "") + "\n".join(rows))
                printed = True
        if not printed and not self.failed and not self.given["ignore_not_found"]:
            target = targets[0]
            where = f" in {target.namespace} namespace" if target.namespace else ""
            click.echo(f"No resources found{where}.", err=True) if where else click.echo("No resources found", err=True)

    async def _fetch(self, target: Target) -> list[dict[str, Any]]:
        params = {} if target.name else query(self.given["selector"], self.given["field_selector"])
        if self.given["sort_by"]:
            params["includeObject"] = "Object"
        tables = []
        while True:
            tables.append(json.loads(await self.session.client.get_bytes(target.path, params, TABLE)))
            more = (tables[-1].get("metadata") or {}).get("continue")
            if not more:
                return tables
            params = {**params, "continue": more}

    async def _watch(self, targets: list[Target]) -> None:
        if len(targets) != 1:
            raise Failure("you may only specify a single resource type when watching")
        from skiff.ctl.watching import follow

        target = targets[0]
        options = self._table_options(self.given["show_kind"])
        await follow(self.session, target, self.given, options, self.printer)


def _ordered(objects: list[dict[str, Any]], path: str) -> list[dict[str, Any]]:
    from skiff.ctl.printing.server_table import sorter

    return sorted(objects, key=sorter(path))
