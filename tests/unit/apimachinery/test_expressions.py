"""Which texts are expressions, and where others go wrong."""

from __future__ import annotations

import pytest

from apimachinery.validation.expressions import DEEPEST, complaint


@pytest.mark.parametrize(
    "text",
    [
        "true",
        "object.metadata.name != 'skip-me'",
        "self.replicas <= self.maxReplicas && !has(self.paused)",
        "object.spec.containers.all(c, c.image.startsWith(\"registry/\") || c.name in ['a', 'b'])",
        "size(self) < 10u ? 'short' : r'lo\\ng'",
        "-x + 1.5e3 * 0x1F % 2",
        "{'a': 1, ?'b': self.?b}['a']",
        "[1, 2, ?x[?0],]",
        "google.protobuf.Timestamp{seconds: 1}",
        "self.`a-b`.c[0]",
        "// what it is about\nrequest.operation == 'CREATE'",
        "'''a\n'b' '''.size() == b'x'.size()",
        "(a in b) == !!c",
        'string(1) + "\\"quoted\\""',
        ".leading.name",
        "a ? b : c ? d : e",
        "f() + g(1, h([], {}))[0].i().j",
        "T{} == T{a: 1,}",
    ],
)
def test_expressions(text: str) -> None:
    assert complaint(text) == ""


@pytest.mark.parametrize(
    ("text", "place", "words"),
    [
        ("... [] bad expression", "1:2", "Syntax error: mismatched input '.'"),
        ("a b", "1:3", "Syntax error: mismatched input 'b'"),
        ("a ==", "1:5", "Syntax error: mismatched input '<EOF>'"),
        ("true &&\n 'x", "2:2", "Syntax error: token recognition error at: '''"),
        ("f(a,)", "1:5", "Syntax error: mismatched input ')'"),
        ("(a", "1:3", "Syntax error: mismatched input '<EOF>' expecting ')'"),
        ("a ? b", "1:6", "Syntax error: mismatched input '<EOF>' expecting ':'"),
        ("[1, 2)", "1:6", "Syntax error: mismatched input ')'"),
        ("{1}", "1:3", "Syntax error: mismatched input '}'"),
        ("", "1:1", "Syntax error: mismatched input '<EOF>'"),
        ("a.", "1:3", "Syntax error: mismatched input '<EOF>'"),
        ("for", "1:1", "reserved identifier: for"),
        ("a = b", "1:3", "Syntax error: token recognition error at: '='"),
        ("(" * (DEEPEST + 1) + "1" + ")" * (DEEPEST + 1), "1:1", f"expression recursion limit exceeded: {DEEPEST}"),
    ],
)
def test_refusals(text: str, place: str, words: str) -> None:
    assert complaint(text).startswith(f"compilation failed: ERROR: <input>:{place}: {words}\n | ")


def test_the_place_is_pointed_at() -> None:
    assert complaint("a b").split("\n")[1:] == [" | a b", " | ..^"]
    assert complaint("x" * 100_001).startswith("compilation failed: ERROR: <input>:-1:0: expression code point size")
