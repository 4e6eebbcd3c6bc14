"""Which expressions of policies are warned of."""

from __future__ import annotations

from typing import Any

from apimachinery.cel.openapi import SchemaTypes
from controller_manager.admission_policies.checking import named_resources, warnings

Obj = dict[str, Any]
REF = "#/components/schemas/"
KIND = "x-kubernetes-group-version-kind"
SCHEMAS: dict[str, Obj] = {
    "Deployment": {
        "type": "object",
        KIND: [{"group": "apps", "version": "v1", "kind": "Deployment"}],
        "properties": {
            "metadata": {"allOf": [{"$ref": f"{REF}Meta"}]},
            "spec": {"allOf": [{"$ref": f"{REF}Spec"}]},
        },
    },
    "Meta": {
        "type": "object",
        "properties": {
            "name": {"type": "string"},
            "namespace": {"type": "string"},
            "labels": {"type": "object", "additionalProperties": {"type": "string"}},
            "creationTimestamp": {"$ref": f"{REF}Time"},
        },
    },
    "Time": {"type": "string", "format": "date-time"},
    "Either": {"oneOf": [{"type": "integer"}, {"type": "string"}], "format": "int-or-string"},
    "Spec": {
        "type": "object",
        "properties": {
            "replicas": {"type": "integer"},
            "surge": {"$ref": f"{REF}Either"},
            "parts": {"type": "array", "items": {"allOf": [{"$ref": f"{REF}Spec"}]}},
            "inline": {"type": "object", "properties": {"deep": {"type": "boolean"}}},
        },
    },
}
RULE = {"apiGroups": ["apps"], "apiVersions": ["v1"], "resources": ["deployments", "deployments/status"]}


def found(*validations: Obj, **more: Any) -> list[Obj]:
    known = SchemaTypes()
    known.add(SCHEMAS)
    what = known.kind("apps", "v1", "Deployment")
    assert what is not None
    policy = {"spec": {"matchConstraints": {"resourceRules": [RULE]}, "validations": list(validations), **more}}
    return warnings(policy, [(("apps", "v1", "Deployment"), what)], None, known)


def test_what_rules_name() -> None:
    wild = {**RULE, "apiGroups": ["*"]}
    policy = {"spec": {"matchConstraints": {"resourceRules": [wild, RULE, {**RULE, "resources": ["*"]}]}}}
    assert named_resources(policy) == [("apps", "v1", "deployments")]


def test_expressions_that_fit_are_not_warned_of() -> None:
    texts = (
        "object.spec.replicas > 1 && object.metadata.name.startsWith('a')",
        "object.spec.parts.all(p, p.parts.all(q, q.replicas > 0))",
        "object.metadata.labels['a'] == 'b' && object.metadata.creationTimestamp.getFullYear() > 2000",
        "object.spec.surge == '50%' && object.spec.inline.deep && object.metadata.__namespace__ != ''",
        "authorizer.requestResource.check('get').allowed() && request.operation == 'CREATE'",
    )
    assert found(*({"expression": text} for text in texts)) == []


def test_expressions_that_cannot_be_right() -> None:
    (field,) = found({"expression": "object.replicas > 1"})
    assert field == {
        "fieldRef": "spec.validations[0].expression",
        "warning": "apps/v1, Kind=Deployment: ERROR: <input>:1:7: undefined field 'replicas'\n"
        " | object.replicas > 1\n | ......^\n",
    }
    (operator,) = found(
        {"expression": "true"}, {"expression": "true", "messageExpression": "'has ' + object.spec.replicas"}
    )
    assert operator["fieldRef"] == "spec.validations[1].messageExpression"
    assert "found no matching overload for '_+_' applied to '(string, int)'" in operator["warning"]


def test_variables_have_the_types_of_their_expressions() -> None:
    variables = [
        {"name": "count", "expression": "object.spec.replicas"},
        {"name": "more", "expression": "variables.count + 1"},
    ]
    assert found({"expression": "variables.more > 1"}, variables=variables) == []
    (wrong,) = found({"expression": "variables.more == 'a'"}, variables=variables)
    assert "'(int, string)'" in wrong["warning"]
    assert found({"expression": "params.anything.goes == 1"}, paramKind={"apiVersion": "v1", "kind": "X"}) == []
