"""Columns, documents and templates: what stands on the terminal, character by character."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from skiff.ctl.catalog import ResourceType
from skiff.ctl.printing.columns import Columns, aligned
from skiff.ctl.printing.documents import list_of, to_json, to_yaml, without_managed_fields
from skiff.ctl.printing.server_table import TableOptions, TablePrinter, sort_key
from skiff.ctl.printing.template import CustomColumns, Template

PODS = ResourceType("", "v1", "pods", "pod", "Pod", True, ("po",), ("all",), ("get", "list"), frozenset({"log"}))
DOCUMENT: dict[str, Any] = {
    "items": [
        {"metadata": {"name": "a", "labels": {"app.io/x": "1"}}, "status": {"ready": True, "n": 3}},
        {"metadata": {"name": "b"}, "status": {"ready": False}},
    ]
}


def test_columns_are_as_wide_as_neighbouring_lines_need() -> None:
    lines = ["Name:\tx", "Namespace:\tdefault", "Containers:", "  a:", "    Image:\ti", "    Host Port:\t0/TCP"]
    assert aligned(lines) == [
        "Name:       x",
        "Namespace:  default",
        "Containers:",
        "  a:",
        "    Image:      i",
        "    Host Port:  0/TCP",
    ]


def test_a_cell_below_a_title_stands_in_the_title_s_column() -> None:
    assert aligned(["Labels:\ta=b", "\tc=d"]) == ["Labels:  a=b", "         c=d"]


def test_a_growing_table_never_narrows() -> None:
    columns = Columns()
    assert columns.lines([["NAME", "AGE"], ["a-long-name", "1s"]]) == ["NAME          AGE", "a-long-name   1s"]
    assert columns.lines([["b", "2s"]]) == ["b             2s"]


def test_yaml_quotes_what_would_be_read_as_something_else() -> None:
    value = {
        "a": "true",
        "b": "1",
        "c": "y",
        "d": "x\ny\n",
        "e": "2026-01-01T00:00:00Z",
        "f": "",
        "g": None,
        "h": ["z"],
    }
    text = to_yaml(value)
    assert text == 'a: "true"\nb: "1"\nc: "y"\nd: |\n  x\n  y\ne: "2026-01-01T00:00:00Z"\nf: ""\ng: null\nh:\n- z\n'
    assert yaml.safe_load(text) == value


def test_json_is_indented_and_in_order() -> None:
    assert to_json({"b": 1, "a": "é"}) == '{\n    "a": "é",\n    "b": 1\n}\n'


def test_managed_fields_are_left_out_everywhere() -> None:
    obj = {"metadata": {"name": "a", "managedFields": [{}]}}
    assert without_managed_fields(obj) == {"metadata": {"name": "a"}}
    assert without_managed_fields(list_of([obj]))["items"] == [{"metadata": {"name": "a"}}]


@pytest.mark.parametrize(
    ("template", "shown"),
    [
        ("{.items[*].metadata.name}", "a b"),
        ('{range .items[*]}{.metadata.name}{"\\t"}{.status.n}{"\\n"}{end}', "a\t3\nb\t\n"),
        ("{.items[0].status}", '{"n":3,"ready":true}'),
        ("name={.items[1].metadata.name};", "name=b;"),
        (r"{.items[0].metadata.labels.app\.io/x}", "1"),
        ("{.items[?(@.metadata.name=='b')].status.ready}", "false"),
        (".items[0].metadata.name", "a"),
        ("{.nothing}", ""),
        ('{.items[0].metadata.name}{" {braces} "}', "a {braces} "),
    ],
)
def test_jsonpath_templates(template: str, shown: str) -> None:
    assert Template(template).render(DOCUMENT) == shown


@pytest.mark.parametrize("template", ["{.a", "{range .items[*]}", "{end}", "{.a[}"])
def test_what_is_no_template_is_refused(template: str) -> None:
    with pytest.raises(ValueError):
        Template(template)


def test_custom_columns() -> None:
    columns = CustomColumns.parse("NAME:.metadata.name,N:{.status.n},NONE:.x.y")
    assert columns.names == ("NAME", "N", "NONE")
    assert [columns.row(one) for one in DOCUMENT["items"]] == [["a", "3", "<none>"], ["b", "<none>", "<none>"]]
    with pytest.raises(ValueError):
        CustomColumns.parse("NAME")


def table(*rows: tuple[str, int]) -> dict[str, Any]:
    return {
        "kind": "Table",
        "columnDefinitions": [{"name": "Name", "format": "name"}, {"name": "Age"}, {"name": "IP", "priority": 1}],
        "rows": [
            {
                "cells": [name, f"{age}s", None],
                "object": {"metadata": {"namespace": "n", "labels": {"b": "2", "a": "1"}}},
            }
            for name, age in rows
        ],
    }


def test_a_server_s_table_with_everything_added() -> None:
    options = TableOptions(wide=True, namespaces=True, labels=True, label_columns=("x.io/a", "a"), kinds=True)
    printer = TablePrinter(options, PODS)
    printer.add(table(("one", 1)))
    assert printer.text() == [
        "NAMESPACE   NAME      AGE   IP       A     A   LABELS".replace("A     A   ", "A     A     "),
        "n           pod/one   1s    <none>         1     a=1,b=2",
    ]


def test_headings_come_once_and_narrow_tables_hide_columns() -> None:
    printer = TablePrinter(TableOptions(), PODS)
    printer.add(table(("one", 1)))
    assert printer.text() == ["NAME   AGE", "one    1s"]
    printer.add(table(("two", 2)))
    assert printer.text() == ["two    2s"]
    assert printer.text() == []


def test_an_answer_that_is_no_table_is_made_one() -> None:
    printer = TablePrinter(TableOptions(), PODS)
    printer.add({"kind": "PodList", "items": [{"metadata": {"name": "a", "creationTimestamp": "t"}}]})
    assert printer.text() == ["NAME   CREATED AT", "a      t"]


def test_sorting_knows_numbers_quantities_and_gaps() -> None:
    values: list[list[Any]] = [["b"], ["1Gi"], [], ["500m"], [2]]
    assert sorted(values, key=sort_key) == [[], ["500m"], [2], ["1Gi"], ["b"]]
