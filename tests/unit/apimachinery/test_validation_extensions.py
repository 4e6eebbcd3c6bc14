"""Definitions, webhooks, policies, signing requests, flows and API services: which pass, and how others are refused."""

from __future__ import annotations

import base64
import copy
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from apimachinery import validation
from apimachinery.resources import require
from tests.unit.apimachinery.written import created, merged, new, updated

Obj = dict[str, Any]

CRD = require("apiextensions.k8s.io/v1", "customresourcedefinitions")
CSR = require("certificates.k8s.io/v1", "certificatesigningrequests")
VALIDATING = require("admissionregistration.k8s.io/v1", "validatingwebhookconfigurations")
POLICY = require("admissionregistration.k8s.io/v1", "validatingadmissionpolicies")
BINDING = require("admissionregistration.k8s.io/v1", "validatingadmissionpolicybindings")
MUTATING_POLICY = require("admissionregistration.k8s.io/v1", "mutatingadmissionpolicies")
FLOW = require("flowcontrol.apiserver.k8s.io/v1", "flowschemas")
LEVEL = require("flowcontrol.apiserver.k8s.io/v1", "prioritylevelconfigurations")
SERVICE = require("apiregistration.k8s.io/v1", "apiservices")

SCHEMA_PATH = "spec.validation.openAPIV3Schema"


def definition(schema: Obj | None = None, **version: Any) -> Obj:
    properties = {"type": "object", "properties": {"spec": {"type": "object", "properties": schema or {}}}}
    first = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": properties}, **version}
    return {
        "metadata": {"name": "widgets.example.com"},
        "spec": {
            "group": "example.com",
            "scope": "Namespaced",
            "names": {"plural": "widgets", "kind": "Widget"},
            "versions": [first],
        },
    }


@pytest.mark.parametrize(
    "schema",
    [
        {"size": {"type": "integer", "minimum": 1, "default": 3}},
        {"port": {"x-kubernetes-int-or-string": True, "anyOf": [{"type": "integer"}, {"type": "string"}]}},
        {"any": {"x-kubernetes-preserve-unknown-fields": True}},
        {"table": {"type": "object", "additionalProperties": {"type": "string"}}},
        {
            "list": {
                "type": "array",
                "x-kubernetes-list-type": "map",
                "x-kubernetes-list-map-keys": ["name"],
                "items": {"type": "object", "required": ["name"], "properties": {"name": {"type": "string"}}},
            }
        },
        {"ruled": {"type": "object", "x-kubernetes-validations": [{"rule": "self == oldSelf", "message": "fixed"}]}},
    ],
)
def test_accepts_definitions(schema: Obj) -> None:
    scale = {"specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas"}
    body = definition(schema, subresources={"status": {}, "scale": scale})
    assert created(CRD, body) == []
    assert updated(CRD, body, {}) == []


@pytest.mark.parametrize(
    ("schema", "place", "complaint"),
    [
        ({"a": {"type": "array"}}, "[a].items", "Required value: must be specified"),
        ({"a": {"description": "x"}}, "[a].type", "Required value: must not be empty for specified object fields"),
        (
            {"a": {"type": "array", "items": {}}},
            "[a].items.type",
            "Required value: must not be empty for specified array items",
        ),
        (
            {"a": {"type": "thing"}},
            "[a].type",
            'Unsupported value: "thing": supported values: "array", "boolean", "integer", "number", "object", "string"',
        ),
        (
            {"a": {"type": "string", "not": {"type": "string"}}},
            "[a].not.type",
            "Forbidden: must be empty to be structural",
        ),
        (
            {"a": {"type": "array", "uniqueItems": True, "items": {"type": "string"}}},
            "[a].uniqueItems",
            "Forbidden: uniqueItems cannot be set to true since the runtime complexity becomes quadratic",
        ),
        (
            {"a": {"type": "object", "x-kubernetes-list-type": "set"}},
            "[a].type",
            'Invalid value: "object": must be array if x-kubernetes-list-type is specified',
        ),
        (
            {"a": {"type": "object", "x-kubernetes-validations": [{"rule": " "}]}},
            "[a].x-kubernetes-validations[0].rule",
            "Required value: rule is not specified",
        ),
    ],
)
def test_refuses_schemas(schema: Obj, place: str, complaint: str) -> None:
    assert created(CRD, definition(schema)) == [f"{SCHEMA_PATH}.properties[spec].properties{place}: {complaint}"]


def test_schemas_may_not_describe_metadata() -> None:
    body = definition()
    schema = body["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    schema["properties"]["metadata"] = {"type": "object", "properties": {"name": {"type": "string"}}}
    assert created(CRD, body) == []
    schema["properties"]["metadata"]["properties"]["labels"] = {"type": "object"}
    assert created(CRD, body) == [
        f"{SCHEMA_PATH}.properties[metadata]: Forbidden: must not specify anything other than name and generateName, "
        "but metadata is implicitly specified"
    ]


def test_versions_with_schemas_of_their_own_are_named() -> None:
    body = definition()
    second = copy.deepcopy(body["spec"]["versions"][0]) | {"name": "v2", "storage": False}
    second["schema"]["openAPIV3Schema"]["properties"]["spec"] = {"type": "array"}
    body["spec"]["versions"].append(second)
    assert created(CRD, body) == [
        "spec.versions[1].schema.openAPIV3Schema.properties[spec].items: Required value: must be specified"
    ]


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (
            {"metadata": {"name": "other"}},
            'metadata.name: Invalid value: "other": must be spec.names.plural+"."+spec.group',
        ),
        (
            {"spec": {"scope": "Global"}},
            'spec.scope: Unsupported value: "Global": supported values: "Cluster", "Namespaced"',
        ),
        ({"spec": {"names": {"listKind": "Widget"}}}, "spec.names.listKind: Invalid value"),
        (
            {"spec": {"preserveUnknownFields": True}},
            "spec.preserveUnknownFields: Invalid value: true: cannot set to true, set "
            "x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema instead",
        ),
        (
            {"spec": {"conversion": {"strategy": "Webhook"}}},
            "spec.conversion.webhookClientConfig: Required value: required when strategy is set to Webhook",
        ),
    ],
)
def test_refuses_definitions(change: Obj, complaint: str) -> None:
    found = created(CRD, merged(definition(), change))
    assert any(one.startswith(complaint) for one in found)


def test_refuses_columns_and_paths() -> None:
    columns = [{"name": "a", "type": "text", "jsonPath": "spec.a"}]
    scale = {"specReplicasPath": ".status.replicas", "statusReplicasPath": ".status.replicas"}
    body = definition(
        {"a": {"type": "object"}},
        additionalPrinterColumns=columns,
        subresources={"scale": scale},
        selectableFields=[{"jsonPath": ".spec.a"}, {"jsonPath": ".spec.b"}],
    )
    assert created(CRD, body) == [
        'spec.subresources.scale.specReplicasPath: Invalid value: ".status.replicas": should be a json path under '
        ".spec",
        'spec.additionalPrinterColumns[0].type: Invalid value: "text": must be one of '
        "boolean,date,integer,number,string",
        'spec.additionalPrinterColumns[0].JSONPath: Invalid value: "spec.a": must be a simple json path starting '
        "with .",
        'spec.selectableFields[0].jsonPath: Invalid value: ".spec.a": must point to a field of type string, boolean or '
        "integer. Enum string fields and strings with formats are allowed.",
        'spec.selectableFields[1].jsonPath: Invalid value: ".spec.b": is an invalid path: does not refer to a valid '
        "field",
    ]


def test_protected_groups_need_approval() -> None:
    body = definition()
    body["spec"]["group"] = "x.k8s.io"
    body["metadata"]["name"] = "widgets.x.k8s.io"
    key = "api-approved.kubernetes.io"
    assert created(CRD, body) == [
        f'metadata.annotations[{key}]: Required value: protected groups must have approval annotation "{key}", '
        "see https://github.com/kubernetes/enhancements/pull/1111"
    ]
    body["metadata"]["annotations"] = {key: "https://github.com/kubernetes/kubernetes/pull/1"}
    assert created(CRD, body) == []


def test_a_stored_version_has_to_stay() -> None:
    second = {**definition()["spec"]["versions"][0], "name": "v2"}
    found = updated(CRD, definition(), {"spec": {"versions": [second]}})
    assert len(found) == 1
    assert found[0].startswith('status.storedVersions[0]: Invalid value: "v1": missing from spec.versions; v1 was')


def test_scope_is_fixed_once_a_definition_is_established() -> None:
    old = new(CRD, definition())
    old["metadata"]["resourceVersion"] = "1"
    changed = copy.deepcopy(old)
    changed["spec"]["scope"] = "Cluster"
    assert validation.validate_update(CRD, changed, old) == []
    old["status"]["conditions"] = [{"type": "Established", "status": "True"}]
    found = validation.validate_update(CRD, changed, old)
    assert [str(one) for one in found] == ['spec.scope: Invalid value: "Cluster": field is immutable']


RULE = {"operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"]}


def hook(**fields: Any) -> Obj:
    client = {"service": {"name": "n", "namespace": "ns", "path": "/check"}}
    basic = {"name": "a.b.c", "clientConfig": client, "sideEffects": "None", "admissionReviewVersions": ["v1"]}
    return {"webhooks": [{**basic, "rules": [RULE], **fields}]}


def test_accepts_webhooks() -> None:
    assert created(VALIDATING, hook()) == []
    assert created(VALIDATING, hook(clientConfig={"url": "https://example.com/check"})) == []
    assert updated(VALIDATING, hook(), {}) == []


@pytest.mark.parametrize(
    ("fields", "complaints"),
    [
        (
            {"name": "x"},
            ['name: Invalid value: "x": should be a domain with at least three segments separated by dots'],
        ),
        ({"sideEffects": None}, ["sideEffects: Required value: must specify one of None, NoneOnDryRun"]),
        (
            {"sideEffects": "Some"},
            ['sideEffects: Unsupported value: "Some": supported values: "None", "NoneOnDryRun"'],
        ),
        (
            {"timeoutSeconds": 31},
            ["timeoutSeconds: Invalid value: 31: the timeout value must be between 1 and 30 seconds"],
        ),
        ({"clientConfig": {}}, ["clientConfig: Required value: exactly one of url or service is required"]),
        (
            {"clientConfig": {"url": "http://example.com"}},
            [
                "clientConfig.url: Invalid value: \"http\": 'https' is the only allowed URL scheme; desired format: "
                "https://host[/path]"
            ],
        ),
        (
            {"rules": [{**RULE, "resources": ["a/*", "a/b", "*/*"]}]},
            [
                "rules[0].resources[1]: Invalid value: \"a/b\": if 'a/*' is present, must not specify a/b",
                'rules[0].resources: Invalid value: ["a/*","a/b","*/*"]: if \'*/*\' is present, must not specify '
                "other resources",
            ],
        ),
        (
            {"admissionReviewVersions": ["v2", "v2"]},
            [
                'admissionReviewVersions[1]: Invalid value: "v2": duplicate version',
                'admissionReviewVersions: Invalid value: ["v2","v2"]: must include at least one of v1, v1beta1',
            ],
        ),
        (
            {"matchConditions": [{"name": "a"}, {"name": "a", "expression": "true"}]},
            ["matchConditions[0].expression: Required value", 'matchConditions[1].name: Duplicate value: "a"'],
        ),
    ],
)
def test_refuses_webhooks(fields: Obj, complaints: list[str]) -> None:
    assert created(VALIDATING, hook(**fields)) == [f"webhooks[0].{one}" for one in complaints]


def test_expressions_have_to_parse() -> None:
    body = hook(matchConditions=[{"name": "a", "expression": "... [] bad expression"}])
    assert created(VALIDATING, body) == [
        'webhooks[0].matchConditions[0].expression: Invalid value: "... [] bad expression": compilation failed: ERROR: '
        "<input>:1:2: Syntax error: mismatched input '.' expecting IDENTIFIER\n | ... [] bad expression\n | .^"
    ]
    schema = {"a": {"type": "object", "x-kubernetes-validations": [{"rule": "self ="}]}}
    (found,) = created(CRD, definition(schema))
    assert found.startswith(
        f"{SCHEMA_PATH}.properties[spec].properties[a].x-kubernetes-validations[0].rule: Invalid value: "
        '{"rule":"self ="}: compilation failed: ERROR: <input>:1:6'
    )


def test_expressions_have_to_fit_what_they_are_for() -> None:
    spec = {"matchConstraints": {"resourceRules": [RULE]}}
    (unknown,) = created(POLICY, {"spec": {**spec, "validations": [{"expression": "objject.x == 1"}]}})
    assert unknown.startswith(
        'spec.validations[0].expression: Invalid value: "objject.x == 1": compilation failed: ERROR: <input>:1:1: '
        "undeclared reference to 'objject' (in container '')"
    )
    (result,) = created(POLICY, {"spec": {**spec, "validations": [{"expression": "object.x"}]}})
    assert result.endswith("must evaluate to bool but got dyn")
    variables = [{"name": "a", "expression": "1"}, {"name": "b", "expression": "variables.a + 1"}]
    validations = [{"expression": "variables.b > 1", "messageExpression": "string(variables.b)"}]
    assert created(POLICY, {"spec": {**spec, "variables": variables, "validations": validations}}) == []
    (later,) = created(POLICY, {"spec": {**spec, "variables": variables[::-1], "validations": validations}})
    assert "spec.variables[0].expression" in later
    assert "undefined field 'a'" in later
    (params,) = created(POLICY, {"spec": {**spec, "validations": [{"expression": "params.x == 1"}]}})
    assert "undeclared reference to 'params'" in params


def test_policies_that_mutate() -> None:
    mutations = [
        {
            "patchType": "ApplyConfiguration",
            "applyConfiguration": {"expression": "Object{metadata: Object.metadata{}}"},
        },
        {"patchType": "JSONPatch", "jsonPatch": {"expression": "[JSONPatch{op: 'add', path: '/a', value: 1}]"}},
    ]
    rule = {**RULE, "operations": ["CREATE"]}
    constraints = {"resourceRules": [rule]}
    spec = {"matchConstraints": constraints, "mutations": mutations, "reinvocationPolicy": "Never"}
    assert created(MUTATING_POLICY, {"spec": spec}) == []
    wrong = [{"patchType": "JSONPatch", "jsonPatch": {"expression": "1"}, "applyConfiguration": {"expression": "1"}}]
    deleting = {"resourceRules": [{**RULE, "operations": ["DELETE"]}]}
    spec = {"matchConstraints": deleting, "mutations": wrong, "reinvocationPolicy": "Always"}
    assert created(MUTATING_POLICY, {"spec": spec}) == [
        'spec.matchConstraints.resourceRules.operations: Unsupported value: "DELETE": '
        'supported values: "CREATE", "UPDATE"',
        'spec.mutations[0].jsonPatch.expression: Invalid value: "1": must evaluate to list(JSONPatch) but got int',
        'spec.mutations[0].applyConfiguration: Invalid value: "{applyConfiguration}": must not be specified when '
        "patchType is JSONPatch",
        'spec.reinvocationPolicy: Unsupported value: "Always": supported values: "IfNeeded", "Never"',
    ]
    assert created(MUTATING_POLICY, {"spec": {"matchConstraints": constraints}}) == [
        "spec.mutations: Required value: mutations must contain at least one item",
        "spec.reinvocationPolicy: Required value",
    ]


def test_policies_and_bindings() -> None:
    spec = {"matchConstraints": {"resourceRules": [RULE]}, "validations": [{"expression": "true"}]}
    assert created(POLICY, {"spec": spec}) == []
    assert created(POLICY, {"spec": {**spec, "validations": [{"expression": "", "message": "a\nb"}]}}) == [
        "spec.validations[0].expression: Required value: expression is not specified",
        'spec.validations[0].message: Invalid value: "a\\nb": must not contain line breaks',
    ]
    bound = {"policyName": "p", "validationActions": ["Deny"], "paramRef": {"parameterNotFoundAction": "Deny"}}
    assert created(BINDING, {"spec": bound}) == [
        "spec.paramRef: Required value: one of name or selector must be specified"
    ]


def signing_request() -> Obj:
    key = ec.generate_private_key(ec.SECP256R1())
    request = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(key, hashes.SHA256())
    pem = base64.b64encode(request.public_bytes(serialization.Encoding.PEM)).decode()
    return {"spec": {"request": pem, "signerName": "example.com/s", "usages": ["client auth"]}}


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({}, None),
        ({"request": "eA=="}, 'spec.request: Invalid value: "eA==": PEM block type must be CERTIFICATE REQUEST'),
        ({"usages": []}, "spec.usages: Required value"),
        ({"usages": ["any", "any"]}, 'spec.usages[1]: Duplicate value: "any"'),
        (
            {"signerName": "kubernetes.io/legacy-unknown"},
            'spec.signerName: Invalid value: "kubernetes.io/legacy-unknown": the legacy signerName is not allowed via '
            "this API version",
        ),
        (
            {"expirationSeconds": 599},
            "spec.expirationSeconds: Invalid value: 599: may not specify a duration less than 600 seconds (10 minutes)",
        ),
    ],
)
def test_signing_requests(change: Obj, complaint: str | None) -> None:
    assert created(CSR, merged(signing_request(), {"spec": change})) == ([complaint] if complaint else [])


def test_signing_requests_are_approved_once_and_through_their_subresource() -> None:
    old = new(CSR, signing_request())
    old["metadata"]["resourceVersion"] = "1"
    approved = {"type": "Approved", "status": "True"}
    after = merged(copy.deepcopy(old), {"status": {"conditions": [approved]}})
    assert validation.validate_subresource_update(CSR, "approval", after, old) == []
    found = validation.validate_subresource_update(CSR, "status", after, old)
    assert [str(one) for one in found] == [
        'status.conditions: Forbidden: updates may not add a condition of type "Approved"'
    ]
    found = validation.validate_subresource_update(CSR, "approval", old, after)
    assert [str(one) for one in found] == [
        'status.conditions: Forbidden: updates may not remove a condition of type "Approved"'
    ]
    both = merged(copy.deepcopy(old), {"status": {"conditions": [approved, {"type": "Denied", "status": "True"}]}})
    found = validation.validate_subresource_update(CSR, "approval", both, old)
    assert [str(one) for one in found] == [
        'status.conditions: Invalid value: "Denied": Approved and Denied conditions are mutually exclusive'
    ]


def test_flows() -> None:
    subject = {"kind": "User", "user": {"name": "u"}}
    rule = {"subjects": [subject], "nonResourceRules": [{"verbs": ["*"], "nonResourceURLs": ["/a/*"]}]}
    spec = {"priorityLevelConfiguration": {"name": "l"}, "rules": [rule]}
    assert created(FLOW, {"spec": spec}) == []
    bad = {"subjects": [{"kind": "Group", "user": {"name": "u"}}], "resourceRules": [{"verbs": ["look"]}]}
    assert created(FLOW, {"spec": {**spec, "matchingPrecedence": 1, "rules": [bad]}}) == [
        "spec.matchingPrecedence: Invalid value: 1: only the schema named 'exempt' may have matchingPrecedence 1",
        "spec.rules[0].subjects[0].group: Required value: group is required when subject kind is 'Group'",
        "spec.rules[0].subjects[0].user: Forbidden: user is forbidden when subject kind is not 'User'",
        'spec.rules[0].resourceRules[0].verbs: Unsupported value: ["look"]: supported values: "create", "delete", '
        '"deletecollection", "get", "list", "patch", "proxy", "update", "watch"',
        "spec.rules[0].resourceRules[0].apiGroups: Required value: resource rules must supply at least one api group",
        "spec.rules[0].resourceRules[0].resources: Required value: resource rules must supply at least one resource",
        "spec.rules[0].resourceRules[0].namespaces: Required value: resource rules that are not cluster scoped must "
        "supply at least one namespace",
    ]
    queuing = {"queues": 64, "handSize": 11, "queueLengthLimit": 1}
    limited = {"limitResponse": {"type": "Queue", "queuing": queuing}}
    assert created(LEVEL, {"spec": {"type": "Limited", "limited": limited}}) == [
        "spec.limited.limitResponse.queuing.handSize: Invalid value: 11: required entropy bits of deckSize 64 and "
        "handSize 11 should not be greater than 60"
    ]


def test_api_services() -> None:
    spec = {"group": "a.b", "version": "v1", "groupPriorityMinimum": 1, "versionPriority": 1}
    remote = {**spec, "service": {"name": "s", "namespace": "n"}}
    assert created(SERVICE, {"metadata": {"name": "v1.a.b"}, "spec": remote}) == []
    assert created(
        SERVICE, {"metadata": {"name": "x"}, "spec": {**spec, "versionPriority": 0, "caBundle": "eA=="}}
    ) == [
        'metadata.name: Invalid value: "x": must be `spec.version+"."+spec.group`: "v1.a.b"',
        "spec.versionPriority: Invalid value: 0: must be positive and less than 1000",
        'spec.caBundle: Invalid value: "1 bytes": local APIServices may not have a caBundle',
    ]
