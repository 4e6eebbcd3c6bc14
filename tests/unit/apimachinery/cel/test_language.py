"""What expressions mean, what is wrong with wrong ones, and what they cost."""

from __future__ import annotations

from typing import Any

import pytest

from apimachinery.cel import (
    BOOL,
    DYN,
    Budget,
    CelCompileError,
    CelError,
    CelSyntaxError,
    CelTypeError,
    CostExceeded,
    Environment,
    OutOfBudget,
)
from apimachinery.cel.types import INT, STRING, list_of

OBJECT = {"metadata": {"name": "abc"}, "spec": {"replicas": 3, "list": [1], "none": None, "ratio": 1.5}}
ENVIRONMENT = Environment({"object": DYN, "x": INT, "s": STRING, "ints": list_of(INT)})
BINDINGS = {"object": OBJECT, "x": 1, "s": "text", "ints": [3, 1, 2]}


def value(text: str) -> Any:
    return ENVIRONMENT.compile(text).run(BINDINGS)


def error(text: str) -> str:
    with pytest.raises(CelError) as caught:
        value(text)
    return str(caught.value)


def complaint(text: str) -> str:
    with pytest.raises(CelCompileError) as caught:
        ENVIRONMENT.compile(text)
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1 + 2 * 3", 7),
        ("-7 / 2", -3),
        ("-7 % 2", -1),
        ("7u / 2u == 3u", True),
        ("1 < 2 && 2 < 3", True),
        ("1 - -1", 2),
        ("!!true", True),
        ("0x1F", 31),
        ("'a' + \"b\"", "ab"),
        ("r'\\n' == '\\\\n'", True),
        ("'''a\nb'''.size()", 3),
        ("b'abc'", b"abc"),
        ("'\\u00e9' == 'é'", True),
        ("b'\\xff' == b'\\377'", True),
        ("true ? 1 : 2", 1),
        ("false ? 1 : true ? 2 : 3", 2),
        ("[1, 2, 3][1]", 2),
        ("{'a': 1}.a + {'a': 1}['a']", 2),
        ("{1: 'x'}[1]", "x"),
        ("'a' in {'a': 1}", True),
        ("2 in [1, 2]", True),
        ("'z' in ['a', 'b']", False),
        ("dyn(1) == 1.0", True),
        ("dyn(true) == dyn(1)", False),
        ("[1, 2] == [1, 2]", True),
        ("dyn([1]) == dyn([true])", False),
        ("{'a': [1]} == {'a': [1]}", True),
        ("dyn({true: 'x'}).size()", 1),
        ("type(1) == int", True),
        ("type(object.spec) == map", True),
        ("type('') == string && type(null) == null_type", True),
        ("object.spec.replicas <= 5 && object.metadata.name.startsWith('a')", True),
        ("has(object.spec.none)", True),
        ("has(object.spec.absent)", False),
        ("object.spec.none == null", True),
        ("true || 1 / 0 > 1", True),
        ("1 / 0 > 1 || true", True),
        ("false && 1 / 0 > 1", False),
        ("1 / 0 > 1 && false", False),
        ("[1, 2, 3].all(i, i > 0)", True),
        ("[0, 1].exists(i, 1 / i == 1)", True),
        ("[0, 1].all(i, 1 / i == 2)", False),
        ("[1, 2, 2].exists_one(i, i == 1)", True),
        ("ints.map(i, i * 2)", [6, 2, 4]),
        ("ints.map(i, i > 1, i * 2)", [6, 4]),
        ("ints.filter(i, i > 1)", [3, 2]),
        ("{'a': 1, 'b': 2}.all(k, k.size() == 1)", True),
        ("{'a': 1}.map(k, k)", ["a"]),
        ("[10, 20].transformList(i, v, i + v)", [10, 21]),
        ("{'a': 1, 'b': 2}.transformMap(k, v, v > 1, v * 10)", {"b": 20}),
        ("{'a': 1}.transformMapEntry(k, v, {string(v): k})", {"1": "a"}),
        ("[1, 2].all(i, v, i + 1 == v)", True),
        ("{'a': 1}.exists(k, v, k == 'a' && v == 1)", True),
        ("object.?spec.?absent.orValue(4)", 4),
        ("object.?spec.?replicas.value()", 3),
        ("object.spec.?list[?5].hasValue()", False),
        ("[?optional.none(), 1]", [1]),
        ("{?'a': optional.of(1), ?'b': optional.none()}", {"a": 1}),
        ("optional.of(1).optMap(v, v + 1).value()", 2),
        ("optional.of(1).optFlatMap(v, optional.of(v + 1)).value()", 2),
        ("optional.ofNonZeroValue('').or(optional.of('d')).value()", "d"),
        ("ints.first().value() + ints.last().value()", 5),
        ("int('42') + int(2.9) + int(3u)", 47),
        ("string(1.5) + string(true) + string(7)", "1.5true7"),
        ("string(123456789.0)", "1.23456789e+08"),
        ("string(0.0001)", "0.0001"),
        ("double('1e3')", 1000.0),
        ("timestamp('2020-02-29T12:34:56.5Z').getMilliseconds()", 500),
        ("timestamp('2020-01-01T00:00:00Z').getDayOfWeek()", 3),
        ("timestamp('2020-01-01T23:00:00Z').getDate('+02:00')", 2),
        ("string(timestamp('2020-01-01T00:00:00+01:00'))", "2019-12-31T23:00:00Z"),
        ("timestamp('2020-01-02T00:00:00Z') - timestamp('2020-01-01T00:00:00Z') == duration('24h')", True),
        ("string(duration('1h2m3.5s'))", "3723.5s"),
        ("duration('90s').getMinutes()", 1),
        ("'ab1'.matches('^[a-z]+[0-9]$')", True),
        ("s.contains('ex')", True),
    ],
)
def test_values(text: str, expected: Any) -> None:
    found = value(text)
    assert found == expected
    assert type(found) is type(expected)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("object.spec.absent", "no such key: absent"),
        ("object.spec.replicas.foo", "no such key: foo"),
        ("object.spec.list[5]", "index out of bounds: 5"),
        ("{'a': 1}['b']", "no such key: b"),
        ("1 / 0", "division by zero"),
        ("1 % 0", "modulus by zero"),
        ("9223372036854775807 + 1", "integer overflow"),
        ("-9223372036854775808 - 1", "integer overflow"),
        ("1u - 2u", "unsigned integer overflow"),
        ("int('x')", "type conversion error from 'string' to 'int'"),
        ("int(1e30)", "integer overflow"),
        ("dyn(1) + dyn('a')", "no such overload"),
        ("dyn(1).startsWith('a')", "no such overload: startsWith(int, string)"),
        ("dyn(1) && true", "no such overload"),
        ("optional.none().value()", "optional.none() dereference"),
        ("'a'.matches(string('['))", "error parsing regexp: missing closing ]: `[`"),
        ("timestamp(string('2020-13-01'))", "type conversion error from 'string' to 'google.protobuf.Timestamp'"),
        ("dyn(5).all(x, true)", "unsupported comprehension range type: int"),
        ("[1, 1].transformMap(i, v, 1).transformMapEntry(k, v, {'same': 1})", "insert failed: key same already exists"),
    ],
)  # fmt: skip
def test_errors(text: str, expected: str) -> None:
    assert error(text) == expected


@pytest.mark.parametrize(
    ("text", "kind", "expected"),
    [
        ("foo", CelTypeError, "ERROR: <input>:1:1: undeclared reference to 'foo' (in container '')\n | foo\n | ^"),
        (
            "object.all(x, y == 1)",
            CelTypeError,
            "ERROR: <input>:1:15: undeclared reference to 'y' (in container '')\n"
            " | object.all(x, y == 1)\n | ..............^",
        ),
        (
            "1 + 'a'",
            CelTypeError,
            "ERROR: <input>:1:3: found no matching overload for '_+_' applied to '(int, string)'\n | 1 + 'a'\n | ..^",
        ),
        (
            "s.startsWith(1)",
            CelTypeError,
            "ERROR: <input>:1:13: found no matching overload for 'startsWith' applied to 'string.(int)'\n"
            " | s.startsWith(1)\n | ............^",
        ),
        ("x.foo", CelTypeError, "ERROR: <input>:1:2: type 'int' does not support field selection\n | x.foo\n | .^"),
        ("[1, 'a']", CelTypeError, "ERROR: <input>:1:5: expected type 'int' but found 'string'\n | [1, 'a']\n | ....^"),
        ("for", CelSyntaxError, "ERROR: <input>:1:1: reserved identifier: for\n | for\n | ^"),
        ("has(s)", CelSyntaxError, "ERROR: <input>:1:5: invalid argument to has() macro\n | has(s)\n | ....^"),
        (
            "1 1",
            CelSyntaxError,
            "ERROR: <input>:1:3: Syntax error: extraneous input '1' expecting <EOF>\n | 1 1\n | ..^",
        ),
        (
            "é\n  && x",
            CelSyntaxError,
            "ERROR: <input>:1:1: Syntax error: token recognition error at: 'é'\n | é\n | ＾",
        ),
        ("s.matches('[')", CelTypeError, "ERROR: <input>:1:11: invalid matches argument"),
        ("duration('x')", CelTypeError, "ERROR: <input>:1:10: invalid duration argument"),
        ("timestamp('x')", CelTypeError, "ERROR: <input>:1:11: invalid timestamp argument"),
        ("{'a': 1, 'b': 'c'}", CelTypeError, "ERROR: <input>:1:15: expected type 'int' but found 'string'"),
        ("9223372036854775808", CelSyntaxError, "ERROR: <input>:1:1: invalid int literal"),
        ("[" * 300, CelSyntaxError, "ERROR: <input>:-1:0: expression recursion limit exceeded: 250"),
        ("x" + ".a" * 300, CelSyntaxError, "ERROR: <input>:-1:0: expression recursion limit exceeded: 250"),
        ("'" + "a" * 100_000, CelSyntaxError, "ERROR: <input>:-1:0: expression code point size exceeds limit"),
    ],
)
def test_complaints(text: str, kind: type[Exception], expected: str) -> None:
    with pytest.raises(kind) as caught:
        ENVIRONMENT.compile(text)
    assert str(caught.value).startswith(expected)


def test_all_type_errors_are_told_at_once() -> None:
    assert complaint("a == b").count("undeclared reference") == 2


@pytest.mark.parametrize(
    ("text", "cost"),
    [
        ("1 + 2", 1),
        ("x", 1),
        ("object.spec.replicas", 3),
        ("has(object.spec.replicas)", 2),
        ("x == 1 ? x : x + x", 3),
        ("x == 1 && x == 1", 4),
        ("[1, 2]", 10),
        ("{'a': 1}", 30),
        ("s.startsWith('t')", 2),
        ("'0123456789012345678901234567890'.matches('abcdefgh')", 8),
        ("[1, 2, 3].all(i, i > 0)", 26),
        ("ints.filter(i, i > 1)", 45),
    ],
)
def test_costs(text: str, cost: int) -> None:
    """What the costs are built of is upstream's: see common/cost.go's constants in the decision 0011."""
    assert ENVIRONMENT.compile(text).evaluate(BINDINGS)[1] == cost


def test_an_evaluation_cannot_cost_more_than_the_limit() -> None:
    program = Environment({"many": list_of(INT)}).compile("many.all(x, many.all(y, many.all(z, x + y + z < 1000)))")
    with pytest.raises(CostExceeded, match="operation cancelled: actual cost limit exceeded"):
        program.run({"many": list(range(300))})


def test_a_budget_is_shared() -> None:
    budget = Budget(5)
    program = ENVIRONMENT.compile("object.spec.replicas")
    program.run(BINDINGS, budget)
    assert budget.remaining == 2
    with pytest.raises(OutOfBudget):
        program.run(BINDINGS, budget)


def test_a_limit_passed_is_not_an_error_that_logic_absorbs() -> None:
    program = Environment({"many": list_of(INT)}).compile(
        "true || many.all(x, true) ? many.all(x, many.all(y, many.all(z, true))) || true : true"
    )
    with pytest.raises(CostExceeded):
        program.run({"many": list(range(300))})


def test_chains_of_opt_map_compile_in_no_time() -> None:
    """The macro uses its target twice, so that naive passes double their work with each link."""
    text = "optional.of(1)" + ".optMap(v, v + 1)" * 60
    assert ENVIRONMENT.compile(text).type.name == "optional_type"


def test_the_wanted_type_is_looked_at() -> None:
    for text in ("1", "object.spec"):
        with pytest.raises(CelTypeError):
            ENVIRONMENT.compile(text, wanted=BOOL)
    assert ENVIRONMENT.compile("object.spec == 1", wanted=BOOL).type == BOOL


def test_data_of_another_type_than_declared_is_an_error_not_a_crash() -> None:
    assert ENVIRONMENT.compile("s.size() + x").run({"s": "ab", "x": 1}) == 3
    with pytest.raises(CelError):
        ENVIRONMENT.compile("s.size() + x").run({"s": 5, "x": 1})
