"""Warnings about objects that are taken."""

from __future__ import annotations

from typing import Any

from apimachinery.resources import require
from apimachinery.strategies.advice import advice

DEFINITIONS = require("apiextensions.k8s.io/v1", "customresourcedefinitions")


def definition(*formats: str) -> dict[str, Any]:
    fields = {f"f{index}": {"type": "string", "format": name} for index, name in enumerate(formats)}
    return {"spec": {"versions": [{"schema": {"openAPIV3Schema": {"type": "object", "properties": fields}}}]}}


def test_formats_that_nobody_checks_are_named_once() -> None:
    new = definition("ipv4", "int32", "made-up", "int32")
    assert advice(DEFINITIONS, new) == ['unrecognized format "int32"', 'unrecognized format "made-up"']
    assert advice(DEFINITIONS, new, definition("int32")) == ['unrecognized format "made-up"']


def test_most_kinds_have_no_advice() -> None:
    assert advice(require("v1", "configmaps"), {"metadata": {"finalizers": ["x"]}}) == []
