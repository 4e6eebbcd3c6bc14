"""The rules by which nodes are chosen, as the API documents them."""

import pytest

from apimachinery.placement import NodeSelectorTerm, Requirement, holds, node_matches, term_matches

LABELS = {"zone": "a", "cores": "8", "odd": "x"}


@pytest.mark.parametrize(
    ("key", "operator", "values", "expected"),
    [
        ("zone", "In", ["a", "b"], True),
        ("zone", "In", ["b"], False),
        ("none", "In", ["a"], False),
        ("zone", "NotIn", ["b"], True),
        ("zone", "NotIn", ["a"], False),
        ("none", "NotIn", ["a"], True),
        ("zone", "Exists", [], True),
        ("none", "Exists", [], False),
        ("none", "DoesNotExist", [], True),
        ("zone", "DoesNotExist", [], False),
        ("cores", "Gt", ["4"], True),
        ("cores", "Gt", ["8"], False),
        ("cores", "Lt", ["16"], True),
        ("odd", "Gt", ["4"], False),
        ("none", "Lt", ["4"], False),
        ("cores", "Gt", ["many"], False),
    ],
)
def test_a_requirement_holds(key: str, operator: str, values: list[str], expected: bool) -> None:
    assert holds(Requirement(key, operator, values), LABELS) is expected


def test_every_requirement_of_a_term_must_hold_and_an_empty_term_matches_nothing() -> None:
    zone, name = Requirement("zone", "In", ["a"]), Requirement("metadata.name", "In", ["n"])
    assert term_matches(NodeSelectorTerm([zone], [name]), "n", LABELS)
    assert not term_matches(NodeSelectorTerm([zone], [name]), "other", LABELS)
    assert not term_matches(NodeSelectorTerm(), "n", LABELS)


def test_a_node_matches_by_selector_and_one_of_the_terms() -> None:
    here, elsewhere = (NodeSelectorTerm([Requirement("zone", "In", [zone])]) for zone in "ab")
    assert node_matches({"zone": "a"}, None, "n", LABELS)
    assert node_matches({}, [elsewhere, here], "n", LABELS)
    assert not node_matches({"zone": "b"}, [here], "n", LABELS)
    assert not node_matches({}, [], "n", LABELS), "no term at all selects nothing"
