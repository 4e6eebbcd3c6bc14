"""Options and parameters of commands that change something."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]

dry_run_option: Decorator = click.option(
    "--dry-run",
    type=click.Choice(["none", "client", "server"]),
    default="none",
    is_flag=False,
    flag_value="client",
    help="client: only print; server: let the server check, and keep nothing.",
)
manager_option: Decorator = click.option("--field-manager", default="", help="Name under which fields are owned.")


def _validation(ctx: click.Context, option: click.Parameter, value: str) -> str:
    known = {"true": "Strict", "strict": "Strict", "warn": "Warn", "false": "Ignore", "ignore": "Ignore"}
    if value.lower() not in known:
        raise click.BadParameter("must be one of strict, warn and ignore", ctx, option)
    return known[value.lower()]


validate_option: Decorator = click.option(
    "--validate",
    default="strict",
    is_flag=False,
    flag_value="strict",
    callback=_validation,
    help="strict, warn or ignore unknown fields.",
)


def lasting(dry_run: str, manager: str = "", validation: str = "") -> dict[str, str]:
    """Query parameters of a change."""
    params: dict[str, str] = {}
    if dry_run == "server":
        params["dryRun"] = "All"
    if manager:
        params["fieldManager"] = manager
    if validation:
        params["fieldValidation"] = validation
    return params
