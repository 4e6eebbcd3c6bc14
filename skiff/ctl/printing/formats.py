"""The formats of `-o` that are about whole objects; tables of the server's are `get`'s own affair."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from skiff.ctl.failures import Failure

Printer = Callable[[dict[str, Any]], str]
NAMES = "json|yaml|name|wide|jsonpath=…|jsonpath-file=…|custom-columns=…|custom-columns-file=…"


def output_option(function: Callable[..., Any]) -> Callable[..., Any]:
    return click.option("-o", "--output", default="", metavar="FORMAT", help=f"One of {NAMES}.")(function)


def printer(output: str, managed_fields: bool = False) -> Printer | None:
    """How to print an object (or a list of them); None where `output` asks for a table. Raises Failure."""
    from skiff.ctl.printing import documents

    name, _, rest = output.partition("=")
    if name in ("", "wide", "name", "custom-columns", "custom-columns-file"):
        return None

    def visible(obj: dict[str, Any]) -> dict[str, Any]:
        return obj if managed_fields else documents.without_managed_fields(obj)

    if name == "json":
        return lambda obj: documents.to_json(visible(obj))
    if name == "yaml":
        return lambda obj: documents.to_yaml(visible(obj))
    if name in ("jsonpath", "jsonpath-file", "jsonpath-as-json"):
        from skiff.ctl.printing.template import Template

        if not rest:
            raise Failure("template format specified but no template given")
        try:
            template = Template(Path(rest).read_text() if name == "jsonpath-file" else rest)
        except ValueError as error:
            raise Failure(f"error parsing jsonpath {rest}, {error}") from None
        return template.render
    raise Failure(f'unable to match a printer suitable for the output format "{output}", allowed formats are: {NAMES}')


def name_of(obj: dict[str, Any], fallback: str = "") -> str:
    """`deployment.apps/hello`, as `-o name` and the reports of changes have it."""
    group, slash, _ = str(obj.get("apiVersion") or "").partition("/")
    kind = str(obj.get("kind") or fallback).lower()
    return f"{kind}{'.' + group if slash else ''}/{(obj.get('metadata') or {}).get('name', '')}"


def report(obj: dict[str, Any], what: str, output: str = "", dry_run: str = "none") -> None:
    """Say what happened to an object, or print it, as `-o` asks."""
    if output == "name":
        click.echo(name_of(obj))
        return
    if (shape := printer(output)) is not None:
        click.echo(shape(obj), nl=False)
        return
    ran = {"client": " (dry run)", "server": " (server dry run)"}.get(dry_run, "")
    click.echo(f"{name_of(obj)} {what}{ran}")
