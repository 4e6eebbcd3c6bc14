"""Status errors and field errors read as the clients expect them."""

from __future__ import annotations

import pytest

from apimachinery import errors, fields
from apimachinery.fields import Path


def test_not_found_names_resource_group_and_object() -> None:
    body = errors.not_found("deployments", "apps", "web").body()
    assert body == {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": 'deployments.apps "web" not found',
        "reason": "NotFound",
        "details": {"name": "web", "group": "apps", "kind": "deployments"},
        "code": 404,
    }


def test_invalid_lists_every_cause_and_says_each_once() -> None:
    path = Path("spec")
    found = [
        fields.required(path.child("x")),
        fields.invalid(path.child("y"), "z", "detail"),
        fields.required(path.child("x")),
    ]
    error = errors.invalid("apps", "Deployment", "web", found)
    assert error.code == 422
    assert error.message == (
        'Deployment.apps "web" is invalid: [spec.x: Required value, spec.y: Invalid value: "z": detail]'
    )
    assert error.causes[1] == {
        "reason": "FieldValueInvalid",
        "message": 'Invalid value: "z": detail',
        "field": "spec.y",
    }


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (fields.too_long(Path("a"), "x" * 300, 253), "a: Too long: may not be more than 253 bytes"),
        (fields.too_many(Path("a").index(2), 5, 1), "a[2]: Too many: 5: must have at most 1 item"),
        (fields.too_many(Path("a"), -1, -1), "a: Too many: has too many items"),
        (
            fields.not_supported(Path("a").key("k"), "Z", ["X", "Y"]),
            'a[k]: Unsupported value: "Z": supported values: "X", "Y"',
        ),
        (fields.invalid(Path("a"), 3, "no"), "a: Invalid value: 3: no"),
        (fields.invalid(Path("a"), None, "no"), "a: Invalid value: null: no"),
        (fields.invalid(Path("a"), {"b": "<&>"}), 'a: Invalid value: {"b":"\\u003c\\u0026\\u003e"}'),
        (fields.duplicate(Path("a"), "b"), 'a: Duplicate value: "b"'),
        (fields.forbidden(Path("a", "b"), "no"), "a.b: Forbidden: no"),
        (fields.internal(Path("a"), ValueError("x")), "a: Internal error: x"),
        (fields.not_found(Path("a"), True), "a: Not found: true"),
        (fields.type_invalid(Path("a"), "b", "d"), 'a: Invalid value: "b": d'),
    ],
)
def test_field_errors_read_as_upstream(error: fields.FieldError, text: str) -> None:
    assert str(error) == text


def test_quote_follows_go() -> None:
    assert fields.quote('a"\\\n\x00é\u200b') == '"a\\"\\\\\\n\\x00é\\u200b"'


def test_forbidden_without_a_resource() -> None:
    assert errors.forbidden("", "", "", "no").message == "forbidden: no"
    assert errors.forbidden("pods", "", "", "no").message == "pods is forbidden: no"
    assert errors.forbidden("pods", "", "a", "no").message == 'pods "a" is forbidden: no'


def test_a_client_reads_back_what_the_server_sent() -> None:
    sent = errors.too_many_requests("slow down", 3)
    got = errors.from_body(429, sent.body())
    assert (got.code, got.reason, got.message, got.retry_after) == (429, "TooManyRequests", "slow down", 3)


def test_a_client_makes_sense_of_answers_from_strangers() -> None:
    assert errors.from_body(404, "x").reason == "NotFound"
    assert errors.from_body(502, "bad gateway").message == (
        'an error on the server ("bad gateway") has prevented the request from succeeding'
    )
    assert errors.from_body(418, None).message == (
        "the server responded with the status code 418 but did not return more information"
    )
