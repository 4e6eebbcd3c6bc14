"""Server-side apply merges, prunes and refuses by who owns which field."""

from __future__ import annotations

import json
from typing import Any

import pytest

from apimachinery.errors import StatusError
from apimachinery.patch import fieldset, managed
from apimachinery.patch.apply import apply, decode
from apimachinery.resources import ResourceInfo, require

DEPLOYMENTS, CONFIG_MAPS, PODS = require("apps/v1", "deployments"), require("v1", "configmaps"), require("v1", "pods")
WIDGETS = ResourceInfo("example.com", "v1", "Widget", "widgets")
T1, T2 = "2026-01-01T00:00:01Z", "2026-01-01T00:00:02Z"


def config_map(**data: Any) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c", "namespace": "n"}, "data": data}


def deployment(*containers: Any, **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web", "namespace": "n"},
        "spec": {"template": {"spec": {"containers": list(containers)}}, **spec},
    }


def owners(obj: dict[str, Any]) -> dict[tuple[str, str], Any]:
    return {(one["manager"], one["operation"]): one["fieldsV1"] for one in obj["metadata"].get("managedFields", ())}


def test_the_applier_owns_what_it_states() -> None:
    container = {"name": "c", "image": "i", "ports": [{"containerPort": 80}]}
    obj = apply(DEPLOYMENTS, None, deployment(container, replicas=1), "me", False, T1)
    assert obj["metadata"]["managedFields"] == [
        {
            "manager": "me",
            "operation": "Apply",
            "apiVersion": "apps/v1",
            "time": T1,
            "fieldsType": "FieldsV1",
            "fieldsV1": {
                "f:spec": {
                    "f:replicas": {},
                    "f:template": {
                        "f:spec": {
                            "f:containers": {
                                'k:{"name":"c"}': {
                                    ".": {},
                                    "f:name": {},
                                    "f:image": {},
                                    "f:ports": {
                                        'k:{"containerPort":80,"protocol":"TCP"}': {".": {}, "f:containerPort": {}}
                                    },
                                }
                            }
                        }
                    },
                }
            },
        }
    ]


def test_another_value_is_a_conflict_the_same_value_is_shared() -> None:
    live = apply(CONFIG_MAPS, None, config_map(a="1", b="1"), "one", False, T1)
    shared = apply(CONFIG_MAPS, live, config_map(a="1"), "two", False, T2)
    assert owners(shared)["two", "Apply"] == {"f:data": {"f:a": {}}}
    with pytest.raises(StatusError) as caught:
        apply(CONFIG_MAPS, live, config_map(a="2"), "two", False, T2)
    error = caught.value
    assert (error.code, error.reason) == (409, "Conflict")
    assert error.message == 'Apply failed with 1 conflict: conflict with "one": .data.a'
    assert error.causes == [{"reason": "FieldManagerConflict", "message": 'conflict with "one"', "field": ".data.a"}]
    forced = apply(CONFIG_MAPS, live, config_map(a="2"), "two", True, T2)
    assert forced["data"] == {"a": "2", "b": "1"}
    assert owners(forced) == {
        ("one", "Apply"): {"f:data": {"f:b": {}}},
        ("two", "Apply"): {"f:data": {"f:a": {}}},
    }


def test_several_conflicts_are_listed_by_manager() -> None:
    live = apply(CONFIG_MAPS, None, config_map(a="1", b="1"), "one", False, T1)
    managed.update(CONFIG_MAPS, live, new := live | {"data": {"a": "1", "b": "2"}}, "kubectl-edit", T2)
    with pytest.raises(StatusError) as caught:
        apply(CONFIG_MAPS, new, config_map(a="3", b="3"), "two", False, T2)
    assert caught.value.message == (
        'Apply failed with 2 conflicts: conflicts with "kubectl-edit" using v1:\n- .data.b\n'
        'conflicts with "one":\n- .data.a'
    )


def test_what_is_no_longer_applied_goes_unless_others_own_it() -> None:
    live = apply(CONFIG_MAPS, None, config_map(a="1", b="1", c="1"), "one", False, T1)
    live = apply(CONFIG_MAPS, live, config_map(b="1"), "two", False, T1)
    live = apply(CONFIG_MAPS, live, config_map(c="1"), "one", False, T2)
    assert live["data"] == {"b": "1", "c": "1"}
    assert owners(live)["one", "Apply"] == {"f:data": {"f:c": {}}}


def test_items_of_lists_are_pruned_and_foreign_items_stay() -> None:
    live = apply(DEPLOYMENTS, None, deployment({"name": "a"}, {"name": "b"}), "one", False, T1)
    live["spec"]["template"]["spec"]["containers"].append({"name": "injected"})
    live = apply(DEPLOYMENTS, live, deployment({"name": "b", "image": "i"}), "one", False, T2)
    assert live["spec"]["template"]["spec"]["containers"] == [{"name": "b", "image": "i"}, {"name": "injected"}]


def test_a_struct_goes_with_its_last_field() -> None:
    first = deployment({"name": "a"}, strategy={"rollingUpdate": {"maxSurge": 1}})
    live = apply(DEPLOYMENTS, None, first, "one", False, T1)
    live = apply(DEPLOYMENTS, live, deployment({"name": "a"}), "one", False, T2)
    assert "strategy" not in live["spec"]


def test_applying_again_changes_nothing() -> None:
    live = apply(CONFIG_MAPS, None, config_map(a="1"), "one", False, T1)
    assert apply(CONFIG_MAPS, live, config_map(a="1"), "one", False, T2) == live


def test_quantities_are_compared_by_amount() -> None:
    config = deployment({"name": "a", "resources": {"limits": {"cpu": "1000m"}}})
    live = apply(DEPLOYMENTS, None, config, "one", False, T1)
    same = deployment({"name": "a", "resources": {"limits": {"cpu": 1}}})
    assert apply(DEPLOYMENTS, live, same, "two", False, T2)["spec"] == live["spec"]


def test_an_object_nobody_managed_belongs_to_a_stand_in() -> None:
    live = config_map(a="1")
    live["metadata"]["uid"] = "u"
    applied = apply(CONFIG_MAPS, live, config_map(b="2"), "one", False, T1)
    assert owners(applied)["before-first-apply", "Update"] == {"f:data": {".": {}, "f:a": {}}}
    with pytest.raises(StatusError, match="before-first-apply"):
        apply(CONFIG_MAPS, live, config_map(a="2"), "one", False, T1)


def test_status_and_spec_are_ignored_where_the_request_cannot_change_them() -> None:
    config = deployment({"name": "a"}) | {"status": {"replicas": 3}}
    assert "f:status" not in owners(apply(DEPLOYMENTS, None, config, "one", False, T1))["one", "Apply"]
    live = apply(DEPLOYMENTS, None, deployment({"name": "a"}), "one", False, T1)
    live = apply(DEPLOYMENTS, live, config, "one", False, T2, "status")
    entry = next(one for one in live["metadata"]["managedFields"] if one.get("subresource") == "status")
    assert entry["fieldsV1"] == {"f:status": {"f:replicas": {}}}


@pytest.mark.parametrize(
    ("config", "code", "text"),
    [
        (deployment({"name": "a"}, foo=1), 400, ".spec.foo: field not declared in schema"),
        (deployment({"name": "a", "foo": 1}), 400, '.spec.template.spec.containers[name="a"].foo: field not declared'),
        (deployment({"name": "a"}, {"name": "a"}), 400, '.containers: duplicate entries for key [name="a"]'),
        (deployment("x"), 400, "element 0: associative list with keys may not have non-map elements"),
        (deployment({"name": "a", "command": {"b": 1}}), 400, ".command: expected list, got &{map[b:1]}"),
        (deployment({"name": "a"}, replicas="x"), 400, ".spec.replicas: expected numeric (int or float), got string"),
        (deployment({"name": "a"}, paused=1), 400, ".spec.paused: expected boolean, got &{1}"),
        (
            deployment({"name": ["b", 1]}),
            400,
            """.name: expected string, got &value.valueUnstructured{Value:[]interface {}{"b", 1}}""",
        ),
        (deployment({"name": "a"}, replicas="x", paused="y"), 400, "errors:\n  .spec.replicas: expected numeric"),
    ],
)
def test_configurations_that_do_not_fit_the_schema(config: dict[str, Any], code: int, text: str) -> None:
    with pytest.raises(StatusError) as caught:
        apply(DEPLOYMENTS, None, config, "one", False, T1)
    assert caught.value.code == code
    assert caught.value.message.startswith("failed to create typed patch object (n/web; apps/v1, Kind=Deployment): ")
    assert text in caught.value.message


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b'{"apiVersion":"v1","kind":"Deployment"}', "Incorrect version specified in apply patch"),
        (b"apiVersion: apps/v1\nkind: ReplicaSet\n", "Incorrect kind specified in apply patch"),
        (
            b'{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"managedFields":[]}}',
            "metadata.managedFields must be nil",
        ),
        (b"[]", "must be an object"),
        (b"a: [", "error decoding YAML"),
    ],
)
def test_bodies_that_cannot_be_applied(data: bytes, text: str) -> None:
    with pytest.raises(StatusError) as caught:
        decode(DEPLOYMENTS, data)
    assert caught.value.code == 400
    assert text in caught.value.message


def test_custom_resources_are_merged_by_what_they_look_like() -> None:
    def widget(spec: dict[str, Any]) -> dict[str, Any]:
        return {"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": "w"}, "spec": spec}

    live = apply(WIDGETS, None, widget({"a": {"b": 1}, "list": [1]}), "one", False, T1)
    live = apply(WIDGETS, live, widget({"a": {"c": 2}}), "two", False, T2)
    assert live["spec"] == {"a": {"b": 1, "c": 2}, "list": [1]}
    live = apply(WIDGETS, live, widget({"list": [2]}), "one", False, T2)
    assert live["spec"] == {"a": {"c": 2}, "list": [2]}


def test_creating_and_updating_records_the_manager() -> None:
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "p", "labels": {"a": "b"}},
        "spec": {"containers": [{"name": "c", "resources": {}}], "securityContext": {}},
        "status": {},
    }
    managed.update(PODS, None, pod, "curl", T1)
    assert owners(pod) == {
        ("curl", "Update"): {
            "f:metadata": {"f:labels": {".": {}, "f:a": {}}},
            "f:spec": {
                "f:containers": {'k:{"name":"c"}': {".": {}, "f:name": {}, "f:resources": {}}},
                "f:securityContext": {},
            },
        }
    }
    new = json.loads(json.dumps(pod))
    new["metadata"]["labels"] = {"a": "c"}
    managed.update(PODS, pod, new, "kubectl", T2)
    assert owners(new)["kubectl", "Update"] == {"f:metadata": {"f:labels": {"f:a": {}}}}
    assert owners(new)["curl", "Update"]["f:metadata"] == {"f:labels": {}}
    again = json.loads(json.dumps(new))
    managed.update(PODS, new, again, "third", T2)
    assert again == new
    del again["metadata"]["labels"]
    managed.update(PODS, new, again, "third", T2)
    assert all("f:metadata" not in fields for fields in owners(again).values())


def test_clients_may_reset_the_managers_but_not_drop_them_by_accident() -> None:
    live = apply(CONFIG_MAPS, None, config_map(a="1"), "one", False, T1)
    forgetful = config_map(a="1")
    managed.update(CONFIG_MAPS, live, forgetful, "old-client", T2)
    assert owners(forgetful) == owners(live)
    reset = config_map(a="1")
    reset["metadata"]["managedFields"] = [{}]
    managed.update(CONFIG_MAPS, live, reset, "old-client", T2)
    assert owners(reset) == {}
    garbled = config_map(a="1")
    garbled["metadata"]["managedFields"] = [{"manager": "x", "operation": "Update", "fieldsV1": {"nonsense": 1}}]
    managed.update(CONFIG_MAPS, live, garbled, "x", T2)
    assert owners(garbled) == owners(live)


def test_the_number_of_updaters_is_bounded() -> None:
    obj = config_map()
    managed.update(CONFIG_MAPS, None, obj, "m0", T1)
    for number in range(1, 30):
        new = json.loads(json.dumps(obj))
        new["data"][f"k{number:02}"] = "x"
        managed.update(CONFIG_MAPS, obj, new, f"m{number}", f"2026-01-01T00:00:{number:02}Z")
        obj = new
    entries = obj["metadata"]["managedFields"]
    assert len(entries) <= 11
    assert "ancient-changes" in {one["manager"] for one in entries}
    everything: dict[str, Any] = {}
    for one in entries:
        everything = fieldset.union(everything, one["fieldsV1"])
    assert len(everything["f:data"]) >= 29


def test_sets_of_fields() -> None:
    a: dict[str, Any] = {"f:x": {".": {}, "f:y": {}}, "f:z": {}}
    b: dict[str, Any] = {"f:x": {"f:y": {}}}
    assert fieldset.difference(a, b) == {"f:x": {}, "f:z": {}}
    assert fieldset.intersection(a, b) == {"f:x": {"f:y": {}}}
    assert fieldset.union(b, {"f:x": {}}) == {"f:x": {".": {}, "f:y": {}}}
    assert fieldset.without_prefixes(a, {"f:x": {}}) == {"f:z": {}}
    assert [
        fieldset.text(path) for path in fieldset.paths({"f:l": {'k:{"a":1,"b":"c"}': {}, 'v:"d"': {}, "i:3": {}}})
    ] == [
        '.l[a=1,b="c"]',
        '.l[="d"]',
        ".l[3]",
    ]
    assert not fieldset.check({"x": {}})


def test_kubectl_moves_from_client_side_apply_without_conflicts() -> None:
    live = config_map(a="1", b="1")
    annotation = "kubectl.kubernetes.io/last-applied-configuration"
    live["metadata"]["annotations"] = {annotation: json.dumps(config_map(a="1", b="0"))}
    managed.update(CONFIG_MAPS, None, live, "kubectl-client-side-apply", T1)
    moved = apply(CONFIG_MAPS, live, config_map(a="2"), "kubectl", False, T2)
    assert moved["data"] == {"a": "2", "b": "1"}
    assert json.loads(moved["metadata"]["annotations"][annotation]) == config_map(a="2")
    for manager, config in (("kubectl", config_map(b="2")), ("other", config_map(a="2"))):
        with pytest.raises(StatusError, match="kubectl-client-side-apply"):
            apply(CONFIG_MAPS, live, config, manager, False, T2)


def test_owned_fields_are_written_in_one_order() -> None:
    """Clients compare them as text, after a decoder of theirs has sorted them."""
    obj = deployment({"name": "b", "image": "i"}, {"name": "a", "image": "i"}, replicas=1)
    managed.update(DEPLOYMENTS, None, obj, "m", T1)
    obj = apply(DEPLOYMENTS, obj, deployment({"name": "a", "image": "j"}, paused=True), "applier", True, T2)
    for entry in obj["metadata"]["managedFields"]:
        assert json.dumps(entry["fieldsV1"]) == json.dumps(entry["fieldsV1"], sort_keys=True)


def test_what_looks_like_json_may_be_yaml() -> None:
    config, _ = decode(require("v1", "configmaps"), b'{"apiVersion": "v1", "kind": "ConfigMap", "data": {"a": "b",},}')
    assert config["data"] == {"a": "b"}
