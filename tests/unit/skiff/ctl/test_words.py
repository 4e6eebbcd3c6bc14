"""The command line: kubectl's spellings, near names, which objects are meant, how failures are said."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from apimachinery import errors, fields
from skiff.ctl.__main__ import root, run
from skiff.ctl.catalog import Catalog, UnknownResource, catalog
from skiff.ctl.commands.create_from_flags import collected
from skiff.ctl.commands.label import split
from skiff.ctl.commands.nodes import sorted_out
from skiff.ctl.commands.taint import changed
from skiff.ctl.commands.wait import judge_of
from skiff.ctl.failures import Failure, lines
from skiff.ctl.manifests import documents, items, load
from skiff.ctl.session import seconds
from skiff.ctl.targets import parse
from skiff.ctl.words import normal


def entry(
    resource: str, kind: str, *short: str, scope: str = "Namespaced", categories: tuple[str, ...] = ()
) -> dict[str, object]:
    return {
        "resource": resource,
        "responseKind": {"kind": kind},
        "scope": scope,
        "shortNames": list(short),
        "verbs": ["get", "list"],
        "categories": list(categories),
    }


@pytest.fixture
def known() -> Catalog:
    core = [entry("pods", "Pod", "po", categories=("all",)), entry("nodes", "Node", "no", scope="Cluster")]
    core += [entry("events", "Event", "ev"), entry("services", "Service", "svc", categories=("all",))]
    apps = [entry("deployments", "Deployment", "deploy")]
    groups = [
        {"metadata": {}, "versions": [{"version": "v1", "resources": core}]},
        {
            "metadata": {"name": "apps"},
            "versions": [{"version": "v1", "resources": apps}, {"version": "v1beta1", "resources": apps}],
        },
        {
            "metadata": {"name": "events.k8s.io"},
            "versions": [{"version": "v1", "resources": [entry("events", "Event", "ev")]}],
        },
    ]
    return catalog([{"items": groups}])


@pytest.mark.parametrize(
    "word", ["deploy", "deployment", "deployments", "Deployment", "deploy.apps", "deployments.v1.apps"]
)
def test_names_of_a_type(known: Catalog, word: str) -> None:
    assert known.find(word).group_resource == "deployments.apps"
    assert known.find(word).version == "v1"


def test_a_version_may_be_named_and_the_core_group_comes_first(known: Catalog) -> None:
    assert known.find("deployments.v1beta1.apps").path("n", "x") == "/apis/apps/v1beta1/namespaces/n/deployments/x"
    assert known.find("ev").group == ""
    assert known.find("events.events.k8s.io").group == "events.k8s.io"
    with pytest.raises(UnknownResource, match='doesn\'t have a resource type "nothing"'):
        known.find("nothing")


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        (["pods"], ["/api/v1/namespaces/d/pods"]),
        (["po,no"], ["/api/v1/namespaces/d/pods", "/api/v1/nodes"]),
        (["pod", "a", "b"], ["/api/v1/namespaces/d/pods/a", "/api/v1/namespaces/d/pods/b"]),
        (["pod/a", "no/b"], ["/api/v1/namespaces/d/pods/a", "/api/v1/nodes/b"]),
        (["all"], ["/api/v1/namespaces/d/pods", "/api/v1/namespaces/d/services"]),
    ],
)
def test_objects_that_words_mean(known: Catalog, words: list[str], meant: list[str]) -> None:
    assert [target.path for target in parse(words, known, "d")] == meant


@pytest.mark.parametrize("words", [[], ["pod", "pod/a"], ["pod/"], ["pod/a/b"]])
def test_words_that_mean_nothing(known: Catalog, words: list[str]) -> None:
    with pytest.raises(Failure):
        parse(words, known, "d")


def test_kubectl_s_spellings_of_flags() -> None:
    options = [click.Option(["--wait/--no-wait"]), click.Option(["--all"], is_flag=True), click.Option(["-o"])]
    given = ["-o=json", "--wait=false", "--all=true", "--all=false", "x", "--", "-o=kept"]
    assert normal(given, options) == ["-o", "json", "--no-wait", "--all", "x", "--", "-o=kept"]


def test_mistyped_commands_and_flags(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["gte"]) == 1
    assert run(["get", "--ouptut"]) == 1
    said = capsys.readouterr().err
    assert 'error: unknown command "gte" for "skiffctl"' in said
    assert "\tget\n" in said
    assert "unknown flag: --ouptut (did you mean --output" in said


def test_every_command_shows_its_help() -> None:
    def all_of(group: click.Group, above: list[str]) -> list[list[str]]:
        found = []
        ctx = click.Context(group)
        for name in group.list_commands(ctx):
            command = group.get_command(ctx, name)
            found.append([*above, name])
            if isinstance(command, click.Group):
                found += all_of(command, [*above, name])
        return found

    commands = all_of(root, [])
    assert len(commands) > 60
    for words in commands:
        result = CliRunner().invoke(root, [*words, "--help"])
        assert result.exit_code == 0, words
        assert "Usage:" in result.output


def test_failures_in_kubectl_s_words() -> None:
    assert lines(errors.not_found("pods", "", "x")) == ['Error from server (NotFound): pods "x" not found']
    assert lines(errors.unauthorized()) == ["error: You must be logged in to the server (Unauthorized)"]
    wrong = [fields.required(fields.Path("spec").child("a"), ""), fields.required(fields.Path("spec").child("b"), "")]
    assert lines(errors.invalid("apps", "Deployment", "d", wrong[:1])) == [
        'The Deployment "d" is invalid: spec.a: Required value'
    ]
    assert lines(errors.invalid("apps", "Deployment", "d", wrong)) == [
        'The Deployment "d" is invalid: ',
        "* spec.a: Required value",
        "* spec.b: Required value",
    ]
    assert lines(Failure("so")) == ["error: so"]
    assert lines(ZeroDivisionError()) is None


def test_files_folders_and_lists(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(
        "# head\n---\napiVersion: v1\nkind: A\nwhen: 2026-01-01\n---\n---\napiVersion: v1\nkind: B\n"
    )
    (tmp_path / "b.json").write_text(
        '{"apiVersion": "v1", "kind": "List", "items": [{"apiVersion": "v1", "kind": "C"}]}'
    )
    (tmp_path / "c.txt").write_text("nothing")
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "d.yml").write_text("apiVersion: v1\nkind: D\n")
    assert [one["kind"] for one in load([str(tmp_path)])] == ["A", "B", "C"]
    assert [one["kind"] for one in load([str(tmp_path)], recursive=True)] == ["A", "B", "C", "D"]
    assert load([str(tmp_path / "a.yaml")])[0]["when"] == "2026-01-01"


def test_what_is_no_manifest() -> None:
    with pytest.raises(Failure, match="kind not set"):
        items({"apiVersion": "v1"}, "x")
    with pytest.raises(Failure, match="error parsing x"):
        documents("a: [", "x")
    with pytest.raises(Failure, match='the path "/nowhere/x" does not exist'):
        load(["/nowhere/x"])


def test_durations() -> None:
    assert [seconds(text) for text in ("0", "90", "1m30s", "500ms", "-1s")] == [0, 90, 90, 0.5, -1]
    with pytest.raises(click.UsageError):
        seconds("soon")


def test_changes_of_labels() -> None:
    assert split(("pod", "x", "a=b", "c-")) == (["pod", "x"], {"a": "b", "c": None})
    with pytest.raises(Failure):
        split(("pod/x", "a=b", "a-"))


def test_data_of_config_maps_and_secrets(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"\xff")
    (tmp_path / "env").write_text("# x\nA=1\n\nB=2=3\n")
    found = collected(("k=v",), (str(tmp_path / "f"), f"g={tmp_path / 'f'}"), (str(tmp_path / "env"),))
    assert found == {"k": b"v", "f": b"\xff", "g": b"\xff", "A": b"1", "B": b"2=3"}
    assert base64.b64encode(found["f"]) == b"/w=="
    with pytest.raises(Failure, match="already exists"):
        collected(("a=1", "a=2"), (), ())


def test_waiting_for_conditions_and_values() -> None:
    ready: dict[str, Any] = {
        "metadata": {"generation": 2},
        "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True", "observedGeneration": 2}]},
    }
    assert judge_of("condition=ready")(ready)
    assert not judge_of("condition=Ready=False")(ready)
    assert judge_of("jsonpath={.status.phase}=Running")(ready)
    assert judge_of("jsonpath={.status.phase}")(ready)
    assert not judge_of("jsonpath=.status.phase=Failed")(ready)
    ready["metadata"]["generation"] = 3
    assert not judge_of("condition=Ready")(ready)
    with pytest.raises(Failure):
        judge_of("readiness")


def test_taints() -> None:
    node = {"metadata": {"name": "n"}, "spec": {"taints": [{"key": "a", "effect": "NoSchedule"}]}}
    assert changed(node, ["a-"], False) == ([], "untainted")
    assert changed(node, ["b=1:NoExecute"], False)[0][1] == {"key": "b", "value": "1", "effect": "NoExecute"}
    for wrong in (["a=2:NoSchedule"], ["c-"], ["a=2:Never"], ["a=2"]):
        with pytest.raises(Failure):
            changed(node, wrong, False)


def test_which_pods_a_drain_moves() -> None:
    def pod(name: str, owner: str = "", **spec: object) -> dict[str, object]:
        owners = [{"kind": owner, "controller": True}] if owner else []
        return {"metadata": {"name": name, "namespace": "n", "ownerReferences": owners}, "spec": spec}

    given = {"ignore_daemonsets": True, "delete_emptydir_data": False, "force": False}
    leaving, ignored, problems = sorted_out([pod("a", "ReplicaSet"), pod("b", "DaemonSet")], given)
    assert ([one["metadata"]["name"] for one in leaving], ignored, problems) == (["a"], ["n/b"], [])
    volumes = [{"name": "v", "emptyDir": {}}]
    _, _, problems = sorted_out([pod("c"), pod("d", "ReplicaSet", volumes=volumes)], given)
    assert len(problems) == 2
