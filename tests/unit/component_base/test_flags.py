"""Flags as upstream's binaries take them, and what is said about wrong ones."""

import pytest

from component_base.flags import FlagError, FlagSet, format_duration, parse_duration


def flag_set() -> FlagSet:
    found = FlagSet("program", "does something")
    found.string("name", "x", "A name.")
    found.port("port", 80, "A port.")
    found.boolean("fast", False, "Whether.")
    found.duration("wait", 10.0, "How long.")
    found.strings("servers", (), "Several.")
    found.mapping("labels", {}, "Pairs.")
    found.choice("mode", "a", ("a", "b"), "One of.")
    return found


def test_all_spellings_are_understood() -> None:
    values = flag_set().parse_or_raise(
        ["--name=n", "--port", "8080", "--fast", "--wait=1m30s", "--servers=a,b", "--servers=c", "--labels=k=v,l=w"]
    )
    assert values["name"] == "n"
    assert values["port"] == 8080
    assert values["fast"] is True
    assert values["wait"] == 90.0
    assert values["servers"] == ("a", "b", "c")
    assert values["labels"] == {"k": "v", "l": "w"}
    assert values["mode"] == "a"
    assert values.given("name")
    assert not values.given("mode")


def test_a_switch_may_be_turned_off() -> None:
    assert flag_set().parse_or_raise(["--fast=false"])["fast"] is False


@pytest.mark.parametrize(
    ("argument", "complaint"),
    [
        ("--nmae=x", "--nmae: unknown flag; did you mean --name?"),
        ("--port=high", "--port:"),
        ("--port=70000", "--port:"),
        ("--wait=soon", "--wait: 'soon' is not a duration"),
        ("--fast=maybe", "--fast: 'maybe' is not true or false"),
        ("--labels=k", "--labels: 'k' is not of the form key=value"),
        ("--mode=c", "--mode: 'c' is not one of a, b"),
        ("--name", "--name: needs a value"),
        ("stray", "unexpected argument 'stray'"),
    ],
)
def test_what_is_wrong_is_named(argument: str, complaint: str) -> None:
    with pytest.raises(FlagError, match=complaint.replace("?", r"\?")):
        flag_set().parse_or_raise([argument])


def test_a_required_flag_is_asked_for() -> None:
    found = FlagSet("program", "does something")
    found.string("config", "", "Where to read.", required=True)
    with pytest.raises(FlagError, match="--config is required: Where to read"):
        found.parse_or_raise([])


def test_bad_flags_end_the_process_with_two(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        flag_set().parse(["--bogus"])
    assert ended.value.code == 2
    assert capsys.readouterr().err.startswith("program: --bogus: unknown flag")


def test_help_names_every_flag(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        flag_set().parse(["--help"])
    assert ended.value.code == 0
    shown = capsys.readouterr().out
    for name in ("--name string", "--port int", "--wait duration", "(default 10s)", "--labels"):
        assert name in shown


@pytest.mark.parametrize(
    ("text", "seconds"), [("1h2m3s", 3723.0), ("1.5h", 5400.0), ("250ms", 0.25), ("0", 0.0), ("-1s", -1.0)]
)
def test_durations(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


def test_durations_are_shown_as_go_shows_them() -> None:
    assert [format_duration(s) for s in (0, 0.25, 10, 90, 3723)] == ["0s", "250ms", "10s", "1m30s", "1h2m3s"]
