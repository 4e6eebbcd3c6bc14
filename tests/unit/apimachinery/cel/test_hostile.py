"""Whatever is written or bound, nothing but the language's own errors comes out."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apimachinery.cel import DYN, CelCompileError, CelError, CelSyntaxError, Environment
from apimachinery.cel.numbers import INT_MAX, INT_MIN, UINT_MAX, UInt
from apimachinery.cel.types import INT, UINT

ANYTHING = Environment({"a": DYN, "b": DYN, "c": DYN})
_WORDS = """
a b c true null 1 -1 2u 1.5 'x' b'x' '[' ( ) [ ] { } . , : ? + - * / % ! == != < <= && || in all exists map filter has
size matches startsWith format dyn int string timestamp duration type optional.of orValue .? [? 9223372036854775807 '1h'
sort flatten sets.contains transformMap .map( .all(
"""
PIECES = st.sampled_from(_WORDS.split())
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(INT_MIN, INT_MAX)
    | st.floats()
    | st.text(max_size=5)
    | st.binary(max_size=3)
)
VALUES: st.SearchStrategy[Any] = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)
SOUND = (
    "a + b", "a - b", "a * b", "a / b", "a % b", "-a", "!a", "a == b", "a < b", "a in b", "a[b]", "a[?b]", "a.x",
    "a.?x", "has(a.x)", "a ? b : c", "a && b", "a || b", "a.all(x, x == b)", "a.exists(x, x < b)", "a.map(x, x + b)",
    "a.filter(x, x)", "a.exists_one(x, x == b)", "a.transformList(i, v, v)", "a.transformMap(k, v, [k, v])",
    "size(a)", "a.size()", "string(a)", "int(a)", "uint(a)", "double(a)", "bytes(a)", "bool(a)", "timestamp(a)",
    "duration(a)", "type(a) == type(b)", "a.startsWith(b)", "a.contains(b)", "a.matches(b)", "a.find(b)",
    "a.findAll(b)", "a.split(b)",
    "a.replace(b, c)", "a.substring(b)", "a.substring(b, c)", "a.charAt(b)", "a.indexOf(b)", "a.lastIndexOf(b, c)",
    "a.join(b)", "a.format([b, c])", "a.lowerAscii()", "a.trim()", "a.sum()", "a.min()", "a.isSorted()", "a.sort()",
    "a.distinct()", "a.slice(b, c)", "a.flatten(b)", "lists.range(b)", "sets.contains(a, b)", "sets.equivalent(a, b)",
    "quantity(a)", "isQuantity(a)", "quantity(a).compareTo(quantity(b))", "semver(a)", "isSemver(a, true)", "ip(a)",
    "isIP(a)", "cidr(a)", "cidr(a).containsIP(b)", "url(a)", "isURL(a)", "url(a).getQuery()", "strings.quote(a)",
    "format.named(a)", "format.qualifiedName().validate(a)", "a.getFullYear(b)", "timestamp(a).getHours(b)",
    "optional.ofNonZeroValue(a).orValue(b)", "{a: b}", "[a, ?b]", "a.sortBy(x, b)", "a.first()", "a.unwrapOpt()",
)  # fmt: skip
PROGRAMS = [ANYTHING.compile(text) for text in SOUND]


@given(
    st.text(max_size=60) | st.lists(PIECES, max_size=25).map("".join) | st.lists(PIECES, max_size=25).map(" ".join),
    VALUES,
)
def test_any_text(text: str, value: Any) -> None:
    with contextlib.suppress(CelCompileError, CelError):
        ANYTHING.compile(text).run({"a": value, "b": value, "c": [value]})


@given(st.sampled_from(PROGRAMS), VALUES, VALUES, VALUES)
def test_any_values(program: Any, a: Any, b: Any, c: Any) -> None:
    with contextlib.suppress(CelError):
        program.run({"a": a, "b": b, "c": c})


ADD, SUBTRACT, MULTIPLY = (Environment({"x": INT, "y": INT}).compile(f"x {sign} y") for sign in "+-*")
DIVIDE, MODULO = (Environment({"x": INT, "y": INT}).compile(f"x {sign} y") for sign in "/%")
WHOLE = st.integers(INT_MIN, INT_MAX)


@given(WHOLE, WHOLE)
def test_whole_numbers_never_wrap(x: int, y: int) -> None:
    for program, exact in ((ADD, x + y), (SUBTRACT, x - y), (MULTIPLY, x * y)):
        if INT_MIN <= exact <= INT_MAX:
            assert program.run({"x": x, "y": y}) == exact
        else:
            with pytest.raises(CelError, match="integer overflow"):
                program.run({"x": x, "y": y})


@given(WHOLE, WHOLE.filter(bool))
def test_division_cuts_towards_zero(x: int, y: int) -> None:
    if (x, y) == (INT_MIN, -1):
        with pytest.raises(CelError, match="integer overflow"):
            DIVIDE.run({"x": x, "y": y})
        return
    quotient, rest = DIVIDE.run({"x": x, "y": y}), MODULO.run({"x": x, "y": y})
    assert quotient * y + rest == x
    assert abs(rest) < abs(y)
    assert rest == 0 or (rest < 0) == (x < 0)


UNSIGNED = Environment({"x": UINT, "y": UINT}).compile("x - y")


@given(st.integers(0, UINT_MAX), st.integers(0, UINT_MAX))
def test_unsigned_numbers_have_no_sign(x: int, y: int) -> None:
    bound = {"x": UInt(x), "y": UInt(y)}
    if x >= y:
        assert UNSIGNED.run(bound) == x - y
    else:
        with pytest.raises(CelError, match="unsigned integer overflow"):
            UNSIGNED.run(bound)


@pytest.mark.parametrize(
    "text",
    [
        "(" * 5000 + "1" + ")" * 5000,
        "[" * 5000,
        "a" + ".b" * 5000,
        "a" + "[0]" * 5000,
        "1" + " + 1" * 5000,
        "a ? " * 5000 + "1",
        "{1:" * 5000,
        "f(" * 5000,
        "a.map(x, " * 500 + "1" + ")" * 500,
        "'" * 5001,
        "1" * 5000,
    ],
)
def test_deep_nesting_is_refused(text: str) -> None:
    with pytest.raises(CelCompileError) as caught:
        ANYTHING.compile(text)
    assert len(str(caught.value)) < 50_000


def test_long_chains_of_logic_are_fine() -> None:
    assert ANYTHING.compile(" && ".join(["a == 1"] * 2000)).run({"a": 1}) is True


def test_the_deepest_that_is_allowed_runs() -> None:
    assert ANYTHING.compile("(" * 240 + "a" + ")" * 240).run({"a": 1}) == 1
    assert ANYTHING.compile("a" + " + 1" * 240).run({"a": 1}) == 241
    with pytest.raises(CelSyntaxError):
        ANYTHING.compile("a" + " + 1" * 260)
