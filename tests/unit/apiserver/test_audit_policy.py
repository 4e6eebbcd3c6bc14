"""Audit policies: which rule a request meets, and what is refused of a policy file."""

from __future__ import annotations

import pytest

from apiserver.audit.policy import Level, load
from apiserver.ports import Attributes, User

ALICE = User("alice", ("writers", "system:authenticated"))
HEAD = "apiVersion: audit.k8s.io/v1\nkind: Policy\n"


def pods(verb: str = "get", subresource: str = "", name: str = "p", namespace: str = "default") -> Attributes:
    path = "/api/v1/namespaces/default/pods"
    return Attributes(ALICE, verb, path, "", "v1", "pods", subresource, namespace, name)


def path(text: str) -> Attributes:
    return Attributes(ALICE, "get", text)


def level(rule: str, asked: Attributes, user: User | None = ALICE) -> Level:
    return load(f"{HEAD}rules:\n- {rule}\n").decide(user, asked).level


@pytest.mark.parametrize(
    "rule",
    [
        "{level: Metadata}",
        "{level: Metadata, users: [bob, alice]}",
        "{level: Metadata, userGroups: [writers]}",
        "{level: Metadata, verbs: [get]}",
        "{level: Metadata, namespaces: [default]}",
        "{level: Metadata, resources: [{}]}",
        "{level: Metadata, resources: [{group: '*', resources: ['*']}]}",
        "{level: Metadata, resources: [{group: apps}, {group: '', resources: [pods]}]}",
        "{level: Metadata, resources: [{group: '', resources: [pods], resourceNames: [p]}]}",
    ],
)
def test_a_rule_fits_if_all_its_fields_do(rule: str) -> None:
    assert level(rule, pods()) is Level.METADATA


@pytest.mark.parametrize(
    "rule",
    [
        "{level: Metadata, users: [bob]}",
        "{level: Metadata, userGroups: [readers]}",
        "{level: Metadata, verbs: [list]}",
        "{level: Metadata, namespaces: [kube-system]}",
        "{level: Metadata, resources: [{group: apps}]}",
        "{level: Metadata, resources: [{group: '', resources: [pods/log, 'pods/*x', '*/log']}]}",
        "{level: Metadata, resources: [{group: '', resources: [pods], resourceNames: [q]}]}",
        "{level: Metadata, users: [alice], verbs: [list]}",
        "{level: Metadata, nonResourceURLs: ['*']}",
    ],
)
def test_a_rule_does_not_fit_if_one_field_does_not(rule: str) -> None:
    assert level(rule, pods()) is Level.NONE


@pytest.mark.parametrize(
    ("pattern", "fits"),
    [("pods", False), ("pods/log", True), ("pods/*", True), ("*/log", True), ("*", True), ("*/exec", False)],
)
def test_subresources_are_named_with_their_resource(pattern: str, fits: bool) -> None:
    rule = f"{{level: Metadata, resources: [{{group: '', resources: ['{pattern}']}}]}}"
    assert level(rule, pods(subresource="log")) is (Level.METADATA if fits else Level.NONE)


@pytest.mark.parametrize(
    ("spec", "fits"), [("*", True), ("/healthz", False), ("/healthz/etcd", True), ("/healthz*", True), ("/h", False)]
)
def test_paths_may_end_in_a_star(spec: str, fits: bool) -> None:
    rule = f"{{level: Metadata, nonResourceURLs: ['{spec}']}}"
    assert level(rule, path("/healthz/etcd")) is (Level.METADATA if fits else Level.NONE)


def test_rules_about_users_do_not_fit_where_nobody_is_known() -> None:
    assert level("{level: Metadata, users: [alice]}", pods(), None) is Level.NONE
    assert level("{level: Metadata, userGroups: [writers]}", pods(), None) is Level.NONE
    assert level("{level: Metadata, verbs: [get]}", pods(), None) is Level.METADATA


def test_the_first_rule_that_fits_decides() -> None:
    policy = load(f"{HEAD}rules:\n- {{level: None, verbs: [get]}}\n- {{level: Request}}\n")
    assert policy.decide(ALICE, pods("get")).level is Level.NONE
    assert policy.decide(ALICE, pods("create")).level is Level.REQUEST


def test_stages_are_left_out_by_the_policy_and_by_the_rule() -> None:
    rules = "- {level: Metadata, verbs: [get], omitStages: [Panic], omitManagedFields: false}\n- {level: Metadata}\n"
    policy = load(f"{HEAD}omitStages: [RequestReceived]\nomitManagedFields: true\nrules:\n{rules}")
    assert policy.decide(ALICE, pods("get")).omitted == {"RequestReceived", "Panic"}
    assert not policy.decide(ALICE, pods("get")).omits_managed_fields
    assert policy.decide(ALICE, pods("list")).omitted == {"RequestReceived"}
    assert policy.decide(ALICE, pods("list")).omits_managed_fields


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "holds no object"),
        ("a: [", "failed decoding"),
        ("apiVersion: audit.k8s.io/v1beta1\nkind: Policy\n", "unknown group version field"),
        (HEAD, "loaded illegal policy with 0 rules"),
        (f"{HEAD}rules: 3\n", "policy.rules is no list"),
        (f"{HEAD}rules:\n- 3\n", "rules[0] is no object"),
        (f"{HEAD}rules:\n- {{level: Metadata, users: alice}}\n", "rules[0].users is no list"),
        (f"{HEAD}rules:\n- {{level: Metadata, users: [1]}}\n", "no list of strings"),
        (f"{HEAD}rules:\n- {{users: [a]}}\n", "rules[0].level: Required value"),
        (f"{HEAD}rules:\n- {{level: Some}}\n", 'rules[0].level: Unsupported value: "Some"'),
        (f"{HEAD}rules:\n- {{level: Metadata, omitStages: [Never]}}\n", "rules[0].omitStages[0]: Invalid value"),
        (f"{HEAD}rules:\n- {{level: Metadata, nonResourceURLs: [x]}}\n", "must begin with a '/' character"),
        (f"{HEAD}rules:\n- {{level: Metadata, nonResourceURLs: ['/a*b']}}\n", "must be the final character"),
        (f"{HEAD}rules:\n- {{level: Metadata, nonResourceURLs: [/a], namespaces: [b]}}\n", "both regular resources"),
        (f"{HEAD}rules:\n- {{level: Metadata, resources: [{{group: a/v1}}]}}\n", "rules[0].resources.group"),
        (f"{HEAD}rules:\n- {{level: Metadata, resources: [{{resourceNames: [a]}}]}}\n", "at least one resource"),
    ],
)
def test_what_is_wrong_in_a_policy_is_said(text: str, said: str) -> None:
    with pytest.raises(ValueError) as refused:
        load(text)
    assert said in str(refused.value)


def test_unknown_fields_are_warned_of_only(caplog: pytest.LogCaptureFixture) -> None:
    assert level("{level: Metadata, colour: red}", pods()) is Level.METADATA
    assert "colour" in caplog.text
