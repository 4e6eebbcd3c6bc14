"""`api-resources` and `api-versions`: what the server has."""

from __future__ import annotations

import click

from skiff.ctl.printing.columns import Columns
from skiff.ctl.session import Session
from skiff.ctl.words import command


@command("api-resources")
@click.option(
    "-o", "--output", type=click.Choice(["", "wide", "name"]), default="", help="wide: verbs too; name: names only."
)
@click.option(
    "--namespaced",
    type=bool,
    default=None,
    is_flag=False,
    flag_value=True,
    help="Only those in namespaces, or (=false) only the others.",
)
@click.option("--api-group", default=None, help="Only of this group.")
@click.option("--verbs", default="", help="Only those that know all of these verbs.")
@click.option("--categories", default="", help="Only those in these categories.")
@click.option("--no-headers", is_flag=True, help="Leave the headings out.")
@click.option("--sort-by", type=click.Choice(["", "name", "kind"]), default="", help="name or kind.")
async def api_resources_command(
    session: Session,
    output: str,
    namespaced: bool | None,
    api_group: str | None,
    verbs: str,
    categories: str,
    no_headers: bool,
    sort_by: str,
) -> None:
    """List the resources the server has, with their short names."""
    catalog = await session.catalog()
    found = [
        one
        for one in catalog.types
        if one.preferred
        and one.verbs
        and (namespaced is None or one.namespaced == namespaced)
        and (api_group is None or one.group == api_group)
        and set(filter(None, verbs.split(","))) <= set(one.verbs)
        and set(filter(None, categories.split(","))) <= set(one.categories)
    ]
    if sort_by:
        found.sort(key=lambda one: one.plural if sort_by == "name" else one.kind)
    else:
        found.sort(key=lambda one: (one.group, one.plural))
    if output == "name":
        for one in found:
            click.echo(one.group_resource)
        return
    rows = [] if no_headers else [["NAME", "SHORTNAMES", "APIVERSION", "NAMESPACED", "KIND"]]
    if rows and output == "wide":
        rows[0] += ["VERBS", "CATEGORIES"]
    for one in found:
        rows.append([one.plural, ",".join(one.short_names), one.api_version, str(one.namespaced).lower(), one.kind])
        if output == "wide":
            rows[-1] += [",".join(one.verbs), ",".join(one.categories)]
    for line in Columns().lines(rows):
        click.echo(line)


@command("api-versions")
async def api_versions_command(session: Session) -> None:
    """List the API versions the server has, as group/version."""
    for version in sorted((await session.catalog()).versions):
        click.echo(version)
