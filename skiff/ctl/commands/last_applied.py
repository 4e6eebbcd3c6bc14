"""`apply view-last-applied`: what `apply` remembers of an object."""

from __future__ import annotations

import click

from skiff.ctl.failures import Failure
from skiff.ctl.printing.formats import printer
from skiff.ctl.session import Session
from skiff.ctl.targets import listed, resolve, selector_option
from skiff.ctl.three_way import last_applied
from skiff.ctl.words import command


@command("view-last-applied")
@click.argument("words", nargs=-1, metavar="TYPE NAME | TYPE/NAME")
@selector_option
@click.option("-o", "--output", type=click.Choice(["yaml", "json"]), default="yaml")
async def view_last_applied_command(session: Session, words: tuple[str, ...], selector: str, output: str) -> None:
    """Show what was applied to objects last."""
    shape = printer(output)
    assert shape is not None
    for target in await resolve(session, words):
        for obj in await listed(session, target, selector):
            remembered = last_applied(obj)
            if remembered is None:
                raise Failure(f"no last-applied-configuration annotation found on resource: {obj['metadata']['name']}")
            click.echo(shape(remembered), nl=False)
