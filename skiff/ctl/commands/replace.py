"""`replace`: put what files say in the place of what is there."""

from __future__ import annotations

from typing import Any

import click

from apimachinery.errors import StatusError
from skiff.ctl.changes import dry_run_option, lasting, manager_option, validate_option
from skiff.ctl.failures import Failure
from skiff.ctl.manifests import filename_options, load
from skiff.ctl.printing.formats import output_option, report
from skiff.ctl.session import Session
from skiff.ctl.targets import at
from skiff.ctl.waiting import gone
from skiff.ctl.words import command


@command("replace")
@filename_options
@output_option
@dry_run_option
@manager_option
@validate_option
@click.option("--force", is_flag=True, help="Delete and create anew.")
@click.option("--grace-period", type=int, default=-1, help="With --force: seconds pods get to end.")
async def replace_command(session: Session, **given: Any) -> None:
    """Replace objects by those in files."""
    if not given["filename"]:
        raise Failure("must specify -f")
    catalog = await session.catalog()
    params = lasting(given["dry_run"], given["field_manager"] or "skiffctl-replace", given["validate"])
    for obj in load(given["filename"], given["recursive"]):
        target = at(catalog, obj, session.namespace)
        if given["force"]:
            options = {"gracePeriodSeconds": given["grace_period"]} if given["grace_period"] >= 0 else None
            try:
                await session.client.delete(target.path, options)
                await gone(session, target)
            except StatusError as error:
                if error.code != 404:
                    raise
            answer = await session.client.create(target.type.path(target.namespace), obj, params)
        else:
            answer = obj if given["dry_run"] == "client" else await session.client.replace(target.path, obj, params)
        report(answer, "replaced", given["output"], given["dry_run"])
