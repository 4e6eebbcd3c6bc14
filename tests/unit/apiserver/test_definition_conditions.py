"""Which names a definition is granted, and what its conditions say."""

from __future__ import annotations

from typing import Any

from apiserver.extensions.conditions import Used, settle
from apiserver.extensions.definition import condition, is_true
from apiserver.registry import deletion

JSON = dict[str, Any]
NOW = 1_700_000_000.0


def definition(group: str = "example.com", **names: Any) -> JSON:
    wanted = {"plural": "things", "singular": "thing", "kind": "Thing", "listKind": "ThingList", **names}
    spec = {"group": group, "names": wanted, "scope": "Cluster", "versions": [{"name": "v1", "storage": True}]}
    return {"metadata": {"name": f"things.{group}"}, "spec": spec, "status": {"conditions": None}}


def test_fresh_names_are_granted_and_the_kind_is_established() -> None:
    obj = definition(shortNames=["t"], categories=["all"])
    assert settle(obj, Used(()), NOW)
    assert obj["status"]["acceptedNames"] == obj["spec"]["names"]
    assert [(one["type"], one["status"], one["reason"]) for one in obj["status"]["conditions"]] == [
        ("NamesAccepted", "True", "NoConflicts"),
        ("Established", "True", "InitialNamesAccepted"),
    ]
    assert not settle(obj, Used(()), NOW + 60)


def test_names_of_others_are_refused_and_the_rest_is_granted() -> None:
    obj = definition(shortNames=["t", "x"])
    other = {"plural": "others", "singular": "t", "kind": "Thing", "listKind": "OtherList"}
    settle(obj, Used([other]), NOW)
    found = condition(obj, "NamesAccepted")
    assert found is not None
    assert (found["status"], found["reason"], found["message"]) == (
        "False",
        "KindConflict",
        '"Thing" is already in use',
    )
    assert obj["status"]["acceptedNames"] == {"plural": "things", "singular": "thing", "listKind": "ThingList"}
    assert not is_true(obj, "Established")
    settle(obj, Used(()), NOW)
    assert is_true(obj, "Established")


def test_an_established_kind_stays_so_when_it_wants_a_taken_name() -> None:
    obj = definition()
    settle(obj, Used(()), NOW)
    obj["spec"]["names"] = {**obj["spec"]["names"], "shortNames": ["taken"]}
    settle(obj, Used([{"shortNames": ["taken"]}]), NOW + 1)
    assert is_true(obj, "Established")
    assert not is_true(obj, "NamesAccepted")
    assert "shortNames" not in obj["status"]["acceptedNames"]


def test_a_bundle_that_is_none_keeps_a_kind_from_being_established() -> None:
    obj = definition()
    obj["spec"]["conversion"] = {"strategy": "Webhook", "webhook": {"clientConfig": {"caBundle": "bm9uZQ=="}}}
    settle(obj, Used(()), NOW)
    found = condition(obj, "Established")
    assert found is not None
    assert (found["status"], found["reason"]) == ("False", "InvalidCABundle")


def test_groups_of_the_project_need_approval() -> None:
    for text, state, reason in (
        ("", "False", "MissingAnnotation"),
        ("https://github.com/x/y/pull/1", "True", "ApprovedAnnotation"),
        ("unapproved, for tests", "False", "UnapprovedAnnotation"),
        ("because", "False", "InvalidAnnotation"),
    ):
        obj = definition("sig.k8s.io")
        obj["metadata"]["annotations"] = {"api-approved.kubernetes.io": text}
        settle(obj, Used(()), NOW)
        found = condition(obj, "KubernetesAPIApprovalPolicyConformant")
        assert found is not None
        assert (found["status"], found["reason"]) == (state, reason)


def test_schemas_from_older_days_are_named() -> None:
    obj = definition()
    obj["spec"]["versions"][0]["schema"] = {"openAPIV3Schema": {"properties": {"a": {"type": "string"}}}}
    settle(obj, Used(()), NOW)
    found = condition(obj, "NonStructuralSchema")
    assert found is not None
    assert "type: Required value: must not be empty at the root" in found["message"]
    obj["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["type"] = "object"
    settle(obj, Used(()), NOW)
    assert condition(obj, "NonStructuralSchema") is None


def test_conditions_that_others_have_written_are_left_as_they_are() -> None:
    obj = definition()
    obj["status"]["conditions"] = [{"message": "no type at all"}]
    settle(obj, Used(()), NOW)
    assert obj["status"]["conditions"][0] == {"message": "no type at all"}


def test_a_definition_is_marked_before_it_goes() -> None:
    from apiserver.extensions.definition import DEFINITIONS

    obj = definition()
    decision = deletion.decide(DEFINITIONS, obj, deletion.Options(), NOW)
    assert decision.changed is not None
    assert decision.changed["metadata"]["finalizers"] == [deletion.CLEANUP]
    assert is_true(decision.changed, "Terminating")
    again = deletion.decide(DEFINITIONS, decision.changed, deletion.Options(), NOW)
    assert not again.remove
