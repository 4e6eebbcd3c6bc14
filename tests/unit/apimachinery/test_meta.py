"""What all objects have in common reads the same whether it is there or not."""

from __future__ import annotations

from apimachinery import meta


def test_an_empty_object_has_empty_metadata() -> None:
    assert (meta.name({}), meta.namespace({}), meta.key({}), meta.uid({})) == ("", "", "", "")
    assert (meta.labels({}), meta.owners({}), meta.controller({}), meta.generation({})) == ({}, [], None, 0)
    assert meta.condition({}, "Ready") is None
    assert not meta.is_deleting({"metadata": None})


def test_owners() -> None:
    owner = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": {"name": "r", "namespace": "n", "uid": "u"}}
    pod = {"metadata": {"ownerReferences": [{"uid": "x"}, meta.controller_reference(owner)]}}
    assert meta.is_controlled_by(pod, owner)
    assert meta.controller(pod) == {
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "name": "r",
        "uid": "u",
        "controller": True,
        "blockOwnerDeletion": True,
    }
    assert meta.key(owner) == "n/r"
    assert meta.split_key("n/r") == ("n", "r")
    assert meta.split_key("r") == ("", "r")


def test_annotations_and_conditions() -> None:
    obj: dict[str, object] = {"status": {"conditions": [{"type": "Ready", "status": "True"}]}}
    meta.set_annotation(obj, "a", "b")
    assert meta.annotations(obj) == {"a": "b"}
    meta.set_annotation(obj, "a", None)
    assert meta.annotations(obj) == {}
    assert meta.condition(obj, "Ready") == {"type": "Ready", "status": "True"}
