"""Rules of custom kinds: what definitions may say, and what objects are told."""

from __future__ import annotations

from typing import Any

import pytest

from apimachinery.cel.declared import escape
from apimachinery.cel.rules import RuleNode
from apimachinery.fields import Path
from apimachinery.structural.rules import walk
from apimachinery.structural.schema import Schema
from apimachinery.structural.validate import ABSENT
from apimachinery.validation.crd_rules import check

Obj = dict[str, Any]
INTEGER, STRING = {"type": "integer"}, {"type": "string"}


def numbers(most: int) -> Obj:
    return {"type": "array", "maxItems": most, "items": INTEGER}


def node(kind: str, *rules: str | Obj, **more: Any) -> Obj:
    given = [{"rule": rule} if isinstance(rule, str) else rule for rule in rules]
    return {"type": kind, "x-kubernetes-validations": given, **more}


def field(name: str, schema: Obj) -> Obj:
    return {"type": "object", "properties": {name: schema}}


def refusals(schema: Obj) -> list[str]:
    return [str(one) for one in check(schema, Path("s"))]


def complaints(schema: Obj, value: Obj, old: Any = ABSENT) -> list[str]:
    return [str(one) for one in walk(Schema(schema), value, old, Path())]


def costs(schema: Obj) -> list[int]:
    return [rule.cost for rule in RuleNode(Schema(schema), root=False).rules]


def test_names_are_escaped() -> None:
    assert escape("a-b.c/d__e") == "a__dash__b__dot__c__slash__d__underscores__e"
    assert escape("namespace") == "__namespace__"
    assert escape("plain_1") == "plain_1"
    assert escape("1st") is None
    assert escape("a b") is None


def test_wrong_rules_are_refused_with_the_place() -> None:
    (unknown,) = refusals(field("spec", node("object", "self.z == 100", properties={"x": INTEGER})))
    assert unknown.startswith("s.properties[spec].x-kubernetes-validations[0].rule: Invalid value: ")
    assert "compilation failed: ERROR: <input>:1:5: undefined field 'z'\n | self.z == 100\n | ....^" in unknown
    (syntax,) = refusals(field("spec", node("object", "self = 42")))
    assert "Syntax error" in syntax
    (result,) = refusals(field("spec", node("object", "1")))
    assert result.endswith("cel expression must evaluate to a bool")
    (message,) = refusals(field("spec", node("object", {"rule": "true", "messageExpression": "1"})))
    assert message.endswith("messageExpression must evaluate to a string")


def test_what_old_self_may_be_used_for() -> None:
    (inside,) = refusals(field("a", {"type": "array", "maxItems": 9, "items": node("integer", "self == oldSelf")}))
    assert inside.endswith("oldSelf cannot be used on the uncorrelatable portion of the schema within s.properties[a]")
    (unused,) = refusals(field("a", node("integer", {"rule": "self > 1", "optionalOldSelf": True})))
    assert unused.endswith("may not be set if oldSelf is not used in rule")
    item = {"type": "object", "required": ["k"], "properties": {"k": {**STRING, "maxLength": 9}, "v": INTEGER}}
    keyed = {"type": "array", "maxItems": 9, "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k"]}
    rule = {"x-kubernetes-validations": [{"rule": "self.v >= oldSelf.v"}]}
    assert not refusals(field("a", {**keyed, "items": {**item, **rule}}))


def test_rules_that_may_cost_too_much_are_refused() -> None:
    texts = {"type": "array", "items": node("array", "self.all(s, s == 'string constant')", items=STRING)}
    found = refusals(field("x", texts))
    assert "estimated rule cost exceeds budget by factor of more than 100x (try simplifying the rule" in found[0]
    assert "s: Forbidden: x-kubernetes-validations estimated rule cost total for entire OpenAPIv3 schema" in found[-1]


@pytest.mark.parametrize(
    ("rule", "schema", "cost"),
    [
        ("self.a > 1", {"a": INTEGER}, 3),
        ("self.a.all(x, x > 0)", {"a": numbers(10)}, 53),
        ("self.a.all(x, self.a.all(y, x == y))", {"a": numbers(725)}, 2_632_478),
        ("self.s.startsWith('abc')", {"s": {**STRING, "maxLength": 10}}, 3),
        ("self.s.matches('[a-z]+')", {"s": {**STRING, "maxLength": 10}}, 12),
        ("self.s == 'abc'", {"s": {**STRING, "maxLength": 100}}, 3),
        ("self.s.contains('abc')", {"s": {**STRING, "maxLength": 100}}, 42),
        ("has(self.a) && self.a > 1", {"a": INTEGER}, 4),
        ("type(self.a) == google.protobuf.Duration", {"a": INTEGER}, 4),
        ("string(self.a) == self.s", {"a": INTEGER, "s": STRING}, 314_578),
        ("self.s.substring(5) == 'x'", {"s": STRING}, 314_576),
    ],
)
def test_estimated_costs(rule: str, schema: Obj, cost: int) -> None:
    assert costs(node("object", rule, properties=schema)) == [cost]


def test_an_object_that_breaks_rules() -> None:
    schema = field("spec", node("object", "self.x + self.y > 0", properties={"x": INTEGER, "y": INTEGER}))
    assert complaints(schema, {"spec": {"x": 1, "y": 0}}) == []
    assert complaints(schema, {"spec": {"x": 0, "y": 0}}) == ["spec: Invalid value: failed rule: self.x + self.y > 0"]
    assert complaints(schema, {"spec": {"x": 0}}) == [
        'spec: Invalid value: "object": no such key: y evaluating rule: self.x + self.y > 0'
    ]


def test_messages_reasons_and_paths() -> None:
    rule = {
        "rule": "self.x > 1",
        "messageExpression": "'x is ' + string(self.x)",
        "message": "too small",
        "reason": "FieldValueForbidden",
        "fieldPath": ".x",
    }
    schema = field("spec", node("object", rule, properties={"x": INTEGER}))
    assert complaints(schema, {"spec": {"x": 0}}) == ["spec.x: Forbidden: x is 0"]
    rule["messageExpression"] = "'line\\nbreak'"
    assert complaints(schema, {"spec": {"x": 0}}) == ["spec.x: Forbidden: too small"]
    rule["fieldPath"] = ".y"
    (refused,) = refusals(schema)
    assert refused.endswith("must be a valid path")


def test_transitions() -> None:
    schema = field("num", node("integer", "self > oldSelf"))
    assert complaints(schema, {"num": 9}) == []
    assert complaints(schema, {"num": 9}, {"num": 10}) == ["num: Invalid value: 9: failed rule: self > oldSelf"]
    assert complaints(schema, {"num": 10}, {"num": 10}) == ["num: Invalid value: 10: failed rule: self > oldSelf"]
    optional = {"rule": "oldSelf.hasValue() ? self > oldSelf.value() : self == 1", "optionalOldSelf": True}
    schema = field("num", node("integer", optional))
    assert complaints(schema, {"num": 1}) == []
    assert complaints(schema, {"num": 2})
    assert complaints(schema, {"num": 2}, {"num": 1}) == []


def test_what_was_wrong_before_may_stay() -> None:
    schema = field("num", node("integer", "self > 5"))
    assert complaints(schema, {"num": 1}, {"num": 1}) == []
    assert complaints(schema, {"num": 2}, {"num": 1})


def test_values_are_of_their_declared_types() -> None:
    properties = {
        "price": {"type": "number"},
        "at": {"type": "string", "format": "date-time"},
        "length": {"type": "string", "format": "duration"},
        "data": {"type": "string", "format": "byte"},
        "port": {"x-kubernetes-int-or-string": True},
        "set": {"type": "array", "x-kubernetes-list-type": "set", "items": STRING},
        "in-name": INTEGER,
    }
    value = {
        "price": 3,
        "at": "2020-01-01T00:00:00Z",
        "length": "1h",
        "data": "QUI=",
        "port": "http",
        "set": ["a", "b"],
        "in-name": 7,
    }
    rules = (
        "self.price / 2.0 == 1.5",
        "self.at.getFullYear() == 2020 && self.length == duration('60m')",
        "self.data == b'AB'",
        "type(self.port) == string",
        "self.set == ['b', 'a'] && (self.set + ['b', 'c']).size() == 3",
        "self.in__dash__name == 7",
    )
    schema = field("spec", node("object", *rules, properties=properties))
    assert complaints(schema, {"spec": value}) == []
    assert not [text for text in refusals(schema) if "compilation" in text]


def test_the_root_knows_what_every_object_has() -> None:
    schema = node("object", "self.metadata.name.startsWith('a') && self.kind == 'K'")
    assert not refusals(schema)
    assert complaints(schema, {"kind": "K", "apiVersion": "g/v1", "metadata": {"name": "abc", "uid": "u"}}) == []


def test_one_rule_too_costly_ends_it_all() -> None:
    rule = "self.a.all(x, self.a.all(y, x == y))"
    schema = field("spec", node("object", rule, "false", properties={"a": numbers(725)}))
    (found,) = complaints(schema, {"spec": {"a": [20] * 725}})
    assert "call cost exceeds limit for rule" in found
