"""`explain`: the fields of a resource, from the server's OpenAPI documents, custom resources included."""

from __future__ import annotations

import json
import textwrap
from typing import Any

import click

from skiff.ctl.catalog import ResourceType
from skiff.ctl.failures import Failure
from skiff.ctl.session import Session
from skiff.ctl.words import command

JSON = dict[str, Any]
_WIDTH = 80


@command("explain")
@click.argument("what", metavar="TYPE[.FIELD…]")
@click.option("--recursive", is_flag=True, help="All fields below, names and types only.")
@click.option("--api-version", default="", help="In this version, e.g. apps/v1.")
async def explain_command(session: Session, what: str, recursive: bool, api_version: str) -> None:
    """Describe the fields of a resource.

    \b
    skiffctl explain deployment.spec.strategy
    """
    word, *fields = what.split(".")
    catalog = await session.catalog()
    found = catalog.find(word)
    if api_version:
        found = catalog.of_kind(api_version, found.kind)
    root = f"apis/{found.group}/{found.version}" if found.group else f"api/{found.version}"
    paths = (await session.client.get("/openapi/v3"))["paths"]
    if root not in paths:
        raise Failure(f'couldn\'t find resource for "{found.group}/{found.version}, Resource={found.plural}"')
    path, _, query = paths[root]["serverRelativeURL"].partition("?")
    pairs = [(key, value) for key, _, value in (one.partition("=") for one in query.split("&") if one)]
    document = json.loads(await session.client.get_bytes(path, pairs))
    for line in explained(document["components"]["schemas"], found, fields, recursive):
        click.echo(line)


def explained(schemas: dict[str, JSON], found: ResourceType, fields: list[str], recursive: bool) -> list[str]:
    """Raises Failure for a field that is not there."""
    schema = _root(schemas, found)
    kind, required, text = found.kind, False, str(schema.get("description") or "")
    holder = schema
    for field in fields:
        inner = _inside(schemas, schema)
        properties = inner.get("properties") or {}
        if field not in properties:
            raise Failure(f'field "{field}" does not exist')
        holder, required = properties[field], field in (inner.get("required") or ())
        schema = holder
        text = str(holder.get("description") or "")
    lines = [f"GROUP:      {found.group}"] if found.group else []
    lines += [f"KIND:       {kind}", f"VERSION:    {found.version}", ""]
    inner = _inside(schemas, schema)
    if fields:
        lines += [f"FIELD: {fields[-1]} <{_type(schemas, holder)}>{' -required-' if required else ''}", ""]
    lines.append("DESCRIPTION:")
    inner_text = str(inner.get("description") or "")
    for paragraph in dict.fromkeys(one for one in (text, inner_text if fields else "") if one):
        lines += textwrap.wrap(paragraph, _WIDTH, initial_indent="    ", subsequent_indent="    ")
    if inner.get("properties"):
        lines += ["", "FIELDS:", *_fields(schemas, inner, recursive, "  ", ())]
    return lines


def _root(schemas: dict[str, JSON], found: ResourceType) -> JSON:
    for schema in schemas.values():
        for gvk in schema.get("x-kubernetes-group-version-kind") or ():
            if (gvk.get("group") or "", gvk.get("version"), gvk.get("kind")) == (
                found.group,
                found.version,
                found.kind,
            ):
                return schema
    raise Failure(f"the server describes no {found.kind} of {found.api_version}")


def _reference(schema: JSON) -> str:
    """The name of the schema this one stands for, directly or as its only part."""
    for one in (schema, *(schema.get("allOf") or ())):
        if "$ref" in one:
            return str(one["$ref"]).rpartition("/")[2]
    return ""


def _inside(schemas: dict[str, JSON], schema: JSON) -> JSON:
    """The object whose fields are to be shown: of a list or a map, its elements."""
    for _ in range(20):
        if name := _reference(schema):
            schema = schemas[name]
        elif schema.get("type") == "array":
            schema = schema.get("items") or {}
        elif isinstance(schema.get("additionalProperties"), dict) and not schema.get("properties"):
            schema = schema["additionalProperties"]
        else:
            return schema
    return schema


def _type(schemas: dict[str, JSON], schema: JSON) -> str:
    if name := _reference(schema):
        target = schemas[name]
        return name.rpartition(".")[2] if target.get("type", "object") == "object" else str(target["type"])
    if schema.get("type") == "array":
        return "[]" + _type(schemas, schema.get("items") or {})
    if isinstance(schema.get("additionalProperties"), dict):
        return "map[string]" + _type(schemas, schema["additionalProperties"])
    return str(schema.get("type") or "Object")


def _fields(schemas: dict[str, JSON], schema: JSON, recursive: bool, indent: str, above: tuple[int, ...]) -> list[str]:
    lines = []
    required = schema.get("required") or ()
    for name, field in sorted((schema.get("properties") or {}).items()):
        lines.append(f"{indent}{name}\t<{_type(schemas, field)}>{' -required-' if name in required else ''}")
        if recursive:
            inner = _inside(schemas, field)
            if id(inner) not in above and inner.get("properties"):
                lines += _fields(schemas, inner, True, indent + "  ", (*above, id(inner)))
            continue
        deeper = indent + "  "
        lines += textwrap.wrap(
            str(field.get("description") or ""), _WIDTH, initial_indent=deeper, subsequent_indent=deeper
        )
        lines.append("")
    return lines
