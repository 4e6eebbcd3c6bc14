"""The options of a query are refused with upstream's words."""

from __future__ import annotations

from typing import Any

import pytest

from apimachinery.errors import StatusError
from apiserver.endpoints import queries
from apiserver.endpoints.core import write_of
from apiserver.endpoints.exchange import Exchange

LISTS = 'ListOptions.meta.k8s.io "" is invalid: '
MATCH = "resourceVersionMatch: "


def asking(query: str, method: str = "GET", path: str = "/api/v1/pods") -> Exchange:
    scope: dict[str, Any] = {"method": method, "path": path, "query_string": query.encode(), "headers": []}

    async def nothing(*_: Any) -> Any:
        raise AssertionError("options are in the query")

    return Exchange(scope, nothing, nothing)


@pytest.mark.parametrize(
    ("query", "message"),
    [
        (
            "resourceVersionMatch=Exact",
            f"{MATCH}Forbidden: resourceVersionMatch is forbidden unless resourceVersion is provided",
        ),
        (
            "resourceVersionMatch=Exact&resourceVersion=0",
            f'{MATCH}Forbidden: resourceVersionMatch "exact" is forbidden for resourceVersion "0"',
        ),
        (
            "resourceVersionMatch=NotOlderThan&resourceVersion=1&continue=x",
            f"{MATCH}Forbidden: resourceVersionMatch is forbidden when continue is provided",
        ),
        (
            "resourceVersionMatch=x&resourceVersion=1",
            f'{MATCH}Unsupported value: "x": supported values: "Exact", "NotOlderThan", ""',
        ),
        ("sendInitialEvents=false", "sendInitialEvents: Forbidden: sendInitialEvents is forbidden for list"),
    ],
)
def test_lists(query: str, message: str) -> None:
    with pytest.raises(StatusError) as caught:
        queries.list_options(asking(query))
    assert (caught.value.code, caught.value.reason, caught.value.message) == (422, "Invalid", LISTS + message)


@pytest.mark.parametrize(
    ("query", "message"),
    [
        (
            "sendInitialEvents=true",
            f"{MATCH}Forbidden: sendInitialEvents requires setting resourceVersionMatch to NotOlderThan",
        ),
        (
            "resourceVersionMatch=NotOlderThan",
            f"{MATCH}Forbidden: resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided",
        ),
        (
            "sendInitialEvents=1&resourceVersionMatch=NotOlderThan&continue=x",
            f"{MATCH}Forbidden: resourceVersionMatch is forbidden when continue is provided",
        ),
    ],
)
def test_watches(query: str, message: str) -> None:
    with pytest.raises(StatusError) as caught:
        queries.list_options(asking(query), watch=True)
    assert (caught.value.code, caught.value.message) == (422, LISTS + message)


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("limit=x", 'strconv.ParseInt: parsing "x": invalid syntax'),
        ("limit=", 'strconv.ParseInt: parsing "": invalid syntax'),
        ("timeoutSeconds=9223372036854775808", 'strconv.ParseInt: parsing "9223372036854775808": value out of range'),
        ("resourceVersion=-1", 'resourceVersion: Invalid value: "-1": strconv.ParseUint: parsing "-1": invalid syntax'),
        ("continue=x&resourceVersion=5", "specifying resource version is not allowed when using continue"),
    ],
)
def test_what_cannot_be_read(query: str, message: str) -> None:
    with pytest.raises(StatusError) as caught:
        queries.list_options(asking(query))
    assert (caught.value.code, caught.value.message) == (400, message)


@pytest.mark.parametrize(
    ("method", "query", "message"),
    [
        (
            "POST",
            "dryRun=x",
            'CreateOptions.meta.k8s.io "" is invalid: dryRun: Unsupported value: ["x"]: supported values: "All"',
        ),
        (
            "PUT",
            "dryRun=",
            'UpdateOptions.meta.k8s.io "" is invalid: dryRun: Unsupported value: [""]: supported values: "All"',
        ),
        (
            "PATCH",
            "fieldManager=" + "x" * 129,
            'PatchOptions.meta.k8s.io "" is invalid: fieldManager: Too long: may not be more than 128 bytes',
        ),
        (
            "POST",
            "fieldManager=a%07",
            'CreateOptions.meta.k8s.io "" is invalid: fieldManager: Invalid value: "a\\a": '
            "invalid character U+0007 (at position 1)",
        ),
        (
            "POST",
            "fieldValidation=strict",
            'CreateOptions.meta.k8s.io "" is invalid: fieldValidation: Unsupported value: "strict": '
            'supported values: "", "Ignore", "Strict", "Warn"',
        ),
    ],
)
def test_writes(method: str, query: str, message: str) -> None:
    with pytest.raises(StatusError) as caught:
        write_of(asking(query, method, "/api/v1/namespaces/n/pods/p"))
    assert (caught.value.code, caught.value.message) == (422, message)


def test_good_options_come_through() -> None:
    options = queries.list_options(asking("limit=5&resourceVersion=7&resourceVersionMatch=Exact&timeoutSeconds=3"))
    assert (options.limit, options.revision, options.match, options.timeout) == (5, 7, "Exact", 3)
    write = write_of(asking("dryRun=All&fieldManager=me me", "POST"))
    assert write.dry_run
    assert write.options == {"fieldManager": "me me", "dryRun": ["All"]}
