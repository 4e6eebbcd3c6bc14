"""Which expressions of a policy cannot be right for the kinds its rules name."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from apimachinery.cel import types
from apimachinery.cel.admission import environment
from apimachinery.cel.environment import Environment
from apimachinery.cel.errors import CelCompileError
from apimachinery.cel.openapi import SchemaTypes
from apimachinery.cel.types import Type

JSON = dict[str, Any]
MOST_TYPES = 10
Kind = tuple[str, str, str]


def named_resources(policy: JSON) -> list[tuple[str, str, str]]:
    """(group, version, plural) of all that the rules name without wildcards; subresources are left out."""
    found: list[tuple[str, str, str]] = []
    rules = ((policy["spec"].get("matchConstraints") or {}).get("resourceRules")) or ()
    for rule in rules:
        groups, versions = rule.get("apiGroups") or [], rule.get("apiVersions") or []
        if any("*" in one for one in (*groups, *versions)):
            continue
        plurals = [one for one in rule.get("resources") or () if "*" not in one and "/" not in one]
        found += [(one, two, three) for one in sorted(groups) for two in sorted(versions) for three in sorted(plurals)]
    return list(dict.fromkeys(found))[:MOST_TYPES]


def warnings(policy: JSON, kinds: Iterable[tuple[Kind, Type]], params: Type | None, known: SchemaTypes) -> list[JSON]:
    """`status.typeChecking.expressionWarnings`. `params` is the type of the parameters, None where it is not known."""
    spec, checked = policy["spec"], sorted(kinds, key=lambda one: one[0])
    found: list[JSON] = []
    for index, validation in enumerate(spec.get("validations") or ()):
        for field in ("expression", "messageExpression"):
            text = validation.get(field) or ""
            said = [_said(kind, wrong) for kind, what in checked if (wrong := _wrong(spec, text, what, params, known))]
            if said:
                found.append({"fieldRef": f"spec.validations[{index}].{field}", "warning": "\n".join(said)})
    return found


def _said(kind: Kind, wrong: str) -> str:
    group, version, name = kind
    return f"{group}/{version}, Kind={name}: {wrong}\n"


def _wrong(spec: JSON, text: str, what: Type, params: Type | None, known: SchemaTypes) -> str:
    """Why an expression cannot be right about objects of a type, "" where it can."""
    if not text:
        return ""
    variables: dict[str, Type] = {}
    for one in spec.get("variables") or ():
        variables[one["name"]] = _result(spec, one["expression"], what, params, known, variables)
    try:
        _environment(spec, what, params, known, variables).checked(text)
    except CelCompileError as error:
        return str(error)
    return ""


def _result(
    spec: JSON, text: str, what: Type, params: Type | None, known: SchemaTypes, variables: dict[str, Type]
) -> Type:
    try:
        return _environment(spec, what, params, known, variables).checked(text).type
    except CelCompileError:
        return types.DYN


def _environment(
    spec: JSON, what: Type, params: Type | None, known: SchemaTypes, variables: dict[str, Type]
) -> Environment:
    return environment(
        params=spec.get("paramKind") is not None,
        variables=variables,
        objects=(what, known),
        param_type=params or types.DYN,
    )
