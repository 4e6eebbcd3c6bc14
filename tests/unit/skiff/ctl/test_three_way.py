"""What apply sends: checked by letting the server's own patches apply it."""

from __future__ import annotations

from typing import Any

import pytest

from apimachinery.patch import merge_patch, strategic
from apimachinery.resources import find_kind
from apimachinery.schema import type_of
from skiff.ctl import three_way

JSON = dict[str, Any]
DEPLOYMENT = find_kind("apps", "v1", "Deployment")


def deployment(**spec: Any) -> JSON:
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"}, "spec": spec}


def pods(*containers: JSON, **more: Any) -> JSON:
    return {"spec": {"containers": list(containers), **more}}


def applied(original: JSON, modified: JSON, current: JSON) -> tuple[JSON, JSON]:
    node = type_of("apps", "v1", "Deployment")
    assert node is not None
    assert DEPLOYMENT is not None
    patch = three_way.strategic_patch(original, modified, current, node)
    return patch, strategic.apply(current, patch, DEPLOYMENT)


def test_what_the_server_added_stays_and_nothing_is_sent() -> None:
    mine = deployment(replicas=2, template=pods({"name": "a", "image": "i"}))
    current = deployment(
        replicas=2, paused=False, template=pods({"name": "a", "image": "i", "imagePullPolicy": "Always"})
    )
    patch, _ = applied(mine, mine, current)
    assert patch == {}


def test_what_the_file_lost_is_deleted_and_nothing_else() -> None:
    before = deployment(replicas=2, minReadySeconds=5)
    current = deployment(replicas=2, minReadySeconds=5, revisionHistoryLimit=10)
    patch, after = applied(before, deployment(replicas=2), current)
    assert patch == {"spec": {"minReadySeconds": None}}
    assert after["spec"] == {"replicas": 2, "revisionHistoryLimit": 10}


def test_containers_merge_by_name() -> None:
    before = deployment(template=pods({"name": "a", "image": "1"}, {"name": "b", "image": "1"}))
    current = deployment(
        template=pods({"name": "a", "image": "1"}, {"name": "b", "image": "1"}, {"name": "injected", "image": "x"})
    )
    wanted = deployment(template=pods({"name": "c", "image": "3"}, {"name": "a", "image": "2"}))
    _, after = applied(before, wanted, current)
    found = {one["name"]: one["image"] for one in after["spec"]["template"]["spec"]["containers"]}
    assert found == {"c": "3", "a": "2", "injected": "x"}


def test_a_volume_may_change_its_kind() -> None:
    before = deployment(template=pods(volumes=[{"name": "v", "emptyDir": {}}]))
    wanted = deployment(template=pods(volumes=[{"name": "v", "configMap": {"name": "c"}}]))
    _, after = applied(before, wanted, before)
    assert after["spec"]["template"]["spec"]["volumes"] == [{"name": "v", "configMap": {"name": "c"}}]


def test_a_strategy_loses_what_does_not_belong_to_its_new_type() -> None:
    current = deployment(strategy={"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}})
    wanted = deployment(strategy={"type": "Recreate"})
    _, after = applied(deployment(), wanted, current)
    assert after["spec"]["strategy"] == {"type": "Recreate"}


def test_plain_lists_that_merge_keep_what_others_added() -> None:
    def with_finalizers(*names: str) -> JSON:
        return {**deployment(), "metadata": {"name": "d", "finalizers": list(names)}}

    _, after = applied(with_finalizers("a", "b"), with_finalizers("b", "c"), with_finalizers("a", "b", "other"))
    assert sorted(after["metadata"]["finalizers"]) == ["b", "c", "other"]


def test_lists_that_do_not_merge_are_replaced() -> None:
    before = deployment(template=pods({"name": "a", "command": ["x", "y"]}))
    wanted = deployment(template=pods({"name": "a", "command": ["z"]}))
    _, after = applied(before, wanted, before)
    assert after["spec"]["template"]["spec"]["containers"][0]["command"] == ["z"]


def test_a_zero_the_server_leaves_out_is_no_difference() -> None:
    mine = deployment(template=pods({"name": "a"}, hostNetwork=False))
    patch, _ = applied(mine, mine, deployment(template=pods({"name": "a"})))
    assert patch == {}


def test_custom_objects_merge_without_lists() -> None:
    original = {"spec": {"a": 1, "b": {"c": 1}, "l": [1]}}
    modified = {"spec": {"b": {"c": 2}, "l": [1, 2]}}
    current = {"spec": {"a": 1, "b": {"c": 1, "theirs": 1}, "l": [1]}}
    patch = three_way.merge_patch(original, modified, current)
    assert patch == {"spec": {"a": None, "b": {"c": 2}, "l": [1, 2]}}
    assert merge_patch.apply(current, patch)["spec"] == {"b": {"c": 2, "theirs": 1}, "l": [1, 2]}
    assert three_way.merge_patch(modified, modified, modified) == {}


def test_the_file_is_remembered_without_its_memory() -> None:
    text = three_way.remembered(deployment(a="<&>"))["metadata"]["annotations"][three_way.LAST_APPLIED]
    assert r'"a":"\u003c\u0026\u003e"' in text
    once = three_way.remembered(deployment(replicas=1))
    assert three_way.remembered(once) == once
    remembered = three_way.last_applied(once)
    assert remembered is not None
    assert remembered["spec"] == {"replicas": 1}
    assert once["metadata"]["annotations"][three_way.LAST_APPLIED].endswith("}\n")


@pytest.mark.parametrize("metadata", [{}, {"annotations": {}}])
def test_what_was_never_applied_is_remembered_as_nothing(metadata: JSON) -> None:
    assert three_way.last_applied({"metadata": metadata}) is None
