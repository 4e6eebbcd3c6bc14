"""Selectors match, print and complain as upstream's."""

from __future__ import annotations

import pytest

from apimachinery.selectors import (
    EVERYTHING,
    from_label_selector,
    from_labels,
    from_node_expressions,
    parse_fields,
    parse_labels,
)


@pytest.mark.parametrize(
    ("text", "labels", "want"),
    [
        ("", {}, True),
        ("a=b", {"a": "b"}, True),
        ("a==b", {"a": "c"}, False),
        ("a!=b", {}, True),
        ("a", {"a": ""}, True),
        ("!a", {"a": ""}, False),
        ("! a", {}, True),
        ("a in (b, c)", {"a": "c"}, True),
        ("a notin (b,c)", {"a": "c"}, False),
        ("a notin (b,c)", {}, True),
        ("a=", {"a": ""}, True),
        ("a in ()", {"a": ""}, True),
        ("a in (x,)", {"a": ""}, True),
        ("a>3", {"a": "4"}, True),
        ("a<3", {"a": "x"}, False),
        ("in in (in,notin)", {"in": "in"}, True),
        ("a=b,c!=d", {"a": "b", "c": "d"}, False),
        ("example.com/x=y", {"example.com/x": "y"}, True),
    ],
)
def test_label_selectors_match(text: str, labels: dict[str, str], want: bool) -> None:
    assert parse_labels(text).matches(labels) is want


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("z=1, a in (c,b),!q", "a in (b,c),!q,z=1"),
        ("x", "x"),
        ("x notin (a)", "x notin (a)"),
        ("x==y", "x==y"),
        ("a>1", "a>1"),
    ],
)
def test_label_selectors_print_canonically(text: str, want: str) -> None:
    assert str(parse_labels(text)) == want


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("a b", "found 'b', expected: in, notin, =, ==, !=, gt, lt"),
        ("a=b c", "found 'c', expected: ',' or 'end of string'"),
        ("a,", "found '', expected: identifier after ','"),
        ("=a", "found '=', expected: !, identifier, or 'end of string'"),
        ("a in b", "found 'b' expected: '('"),
        ("a in (b", "found '', expected: ',' or ')'"),
        ("a>b", "the value must be an integer"),
        ("-a=b", "name part must consist of"),
        ("a=(", "found '(', expected: identifier"),
        ("!", "found '', expected: identifier"),
        ("a in (", "found '', expected: ',', ')' or identifier"),
    ],
)
def test_bad_label_selectors(text: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        parse_labels(text)
    assert complaint in str(caught.value)


def test_label_selector_objects() -> None:
    assert not from_label_selector(None).matches({})
    assert from_label_selector({}).matches({"a": "b"})
    selector = from_label_selector(
        {"matchLabels": {"b": "c"}, "matchExpressions": [{"key": "a", "operator": "NotIn", "values": ["x"]}]}
    )
    assert str(selector) == "a notin (x),b=c"
    assert selector.matches({"b": "c"})
    with pytest.raises(ValueError, match='"Near" is not a valid label selector operator'):
        from_label_selector({"matchExpressions": [{"key": "a", "operator": "Near"}]})
    with pytest.raises(ValueError, match="values set can't be empty"):
        from_label_selector({"matchExpressions": [{"key": "a", "operator": "In"}]})
    assert from_node_expressions([{"key": "n", "operator": "Gt", "values": ["3"]}]).matches({"n": "10"})
    assert from_labels(None) == EVERYTHING


def test_field_selectors() -> None:
    selector = parse_fields(r"spec.nodeName=n1,metadata.name!=a\,b,status.phase==Running")
    fields = {"spec.nodeName": "n1", "metadata.name": "x", "status.phase": "Running"}
    assert selector.matches(fields)
    assert not selector.matches(fields | {"metadata.name": "a,b"})
    assert selector.exact("spec.nodeName") == "n1"
    assert selector.exact("metadata.name") is None
    assert str(selector) == r"metadata.name!=a\,b,spec.nodeName=n1,status.phase=Running"
    assert parse_fields("").is_everything
    assert parse_fields("a=").matches({})


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("a", "invalid selector: 'a'; can't understand 'a'"),
        (r"a=\x", r"invalid field selector: invalid escape sequence: \\x"),
        ("a=b=c", "invalid field selector: unescaped character in value: 61"),
    ],
)
def test_bad_field_selectors(text: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        parse_fields(text)
