"""Command-line flags in the syntax of upstream's binaries.

`--name=value`, `--name value`, `--switch` and `--switch=false` are understood.

A set of flags is declared by name, default and help; parsing gives a read-only mapping of typed values. What is wrong
is said in one sentence that names the flag, and ends the process with code 2 before anything has been touched.
"""

from __future__ import annotations

import difflib
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

_DURATION = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|ms|s|m|h)")
_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}


def parse_duration(text: str) -> float:
    """Seconds of a Go duration such as `1m30s`; a bare `0` is allowed. Raises ValueError."""
    body = text.removeprefix("-").removeprefix("+")
    if body == "0":
        return 0.0
    parts = _DURATION.findall(body)
    if not parts or "".join(number + unit for number, unit in parts) != body:
        raise ValueError(f"{text!r} is not a duration such as 10s or 1m30s")
    seconds = sum(float(number) * _UNITS[unit] for number, unit in parts)
    return -seconds if text.startswith("-") else seconds


def format_duration(seconds: float) -> str:
    """The way Go prints it, for help texts: 90 -> 1m30s."""
    if seconds == 0:
        return "0s"
    if seconds < 1:
        return f"{seconds * 1000:g}ms"
    hours, rest = divmod(seconds, 3600)
    minutes, rest = divmod(rest, 60)
    parts = [f"{int(hours)}h" if hours else "", f"{int(minutes)}m" if minutes else "", f"{rest:g}s" if rest else ""]
    return "".join(parts)


def parse_boolean(text: str) -> bool:
    """Go's spellings of a boolean. Raises ValueError."""
    if text in ("1", "t", "T", "true", "TRUE", "True"):
        return True
    if text in ("0", "f", "F", "false", "FALSE", "False"):
        return False
    raise ValueError(f"{text!r} is not true or false")


def parse_mapping(text: str) -> dict[str, str]:
    """`a=1,b=2`. Raises ValueError."""
    result = {}
    for pair in filter(None, text.split(",")):
        key, equals, value = pair.partition("=")
        if not equals:
            raise ValueError(f"{pair!r} is not of the form key=value")
        result[key.strip()] = value.strip()
    return result


@dataclass(frozen=True, slots=True)
class Flag:
    name: str
    default: Any
    help: str
    kind: str
    parse: Callable[[str], Any]
    repeated: bool = False
    required: bool = False


class Values(Mapping[str, Any]):
    """Typed values by flag name; `given(name)` tells whether the user set it."""

    def __init__(self, values: dict[str, Any], given: frozenset[str]) -> None:
        self._values = values
        self._given = given

    def __getitem__(self, name: str) -> Any:
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def given(self, name: str) -> bool:
        return name in self._given


class FlagError(Exception):
    """One sentence, beginning with the flag."""


class FlagSet:
    def __init__(self, program: str, summary: str) -> None:
        self.program = program
        self.summary = summary
        self._flags: dict[str, Flag] = {}

    def string(self, name: str, default: str, help: str, required: bool = False) -> None:
        self._add(Flag(name, default, help, "string", str, required=required))

    def choice(self, name: str, default: str, choices: Sequence[str], help: str) -> None:
        def parse(text: str) -> str:
            if text not in choices:
                raise ValueError(f"{text!r} is not one of {', '.join(choices)}")
            return text

        self._add(Flag(name, default, help, "|".join(choices), parse))

    def integer(
        self, name: str, default: int, help: str, minimum: int | None = None, maximum: int | None = None
    ) -> None:
        def parse(text: str) -> int:
            try:
                value = int(text, 0)
            except ValueError:
                raise ValueError(f"{text!r} is not a whole number") from None
            if minimum is not None and value < minimum:
                raise ValueError(f"{value} is less than {minimum}")
            if maximum is not None and value > maximum:
                raise ValueError(f"{value} is more than {maximum}")
            return value

        self._add(Flag(name, default, help, "int", parse))

    def port(self, name: str, default: int, help: str) -> None:
        """A TCP port; 0 lets the system choose, or turns the listener off where the help says so."""
        self.integer(name, default, help, 0, 65535)

    def number(self, name: str, default: float, help: str) -> None:
        def parse(text: str) -> float:
            try:
                return float(text)
            except ValueError:
                raise ValueError(f"{text!r} is not a number") from None

        self._add(Flag(name, default, help, "float", parse))

    def boolean(self, name: str, default: bool, help: str) -> None:
        self._add(Flag(name, default, help, "bool", parse_boolean))

    def duration(self, name: str, default: float, help: str) -> None:
        self._add(Flag(name, default, help, "duration", parse_duration))

    def strings(self, name: str, default: Sequence[str], help: str, required: bool = False) -> None:
        def parse(text: str) -> tuple[str, ...]:
            return tuple(part.strip() for part in text.split(",") if part.strip())

        self._add(Flag(name, tuple(default), help, "strings", parse, repeated=True, required=required))

    def mapping(self, name: str, default: Mapping[str, str], help: str) -> None:
        self._add(Flag(name, dict(default), help, "key=value,…", parse_mapping, repeated=True))

    def _add(self, flag: Flag) -> None:
        assert flag.name not in self._flags, f"flag {flag.name} is declared twice"
        self._flags[flag.name] = flag

    def parse(self, arguments: Sequence[str] | None = None) -> Values:
        """Typed values of `arguments` (sys.argv by default). Ends the process on --help (0) and on an error (2)."""
        arguments = sys.argv[1:] if arguments is None else arguments
        if any(argument in ("-h", "--help") for argument in arguments):
            print(self.usage())
            raise SystemExit(0)
        try:
            return self.parse_or_raise(arguments)
        except FlagError as error:
            print(f"{self.program}: {error}", file=sys.stderr)
            raise SystemExit(2) from None

    def parse_or_raise(self, arguments: Sequence[str]) -> Values:
        values: dict[str, Any] = {name: flag.default for name, flag in self._flags.items()}
        given: set[str] = set()
        rest = list(arguments)
        while rest:
            argument = rest.pop(0)
            if not argument.startswith("-") or argument in ("-", "--"):
                raise FlagError(f"unexpected argument {argument!r}; flags look like --name=value")
            name, equals, text = argument.lstrip("-").partition("=")
            flag = self._find(name)
            if not equals:
                text = self._following(flag, rest)
            try:
                value = flag.parse(text)
            except ValueError as error:
                raise FlagError(f"--{name}: {error}") from None
            if flag.repeated and name in given:
                value = {**values[name], **value} if isinstance(value, dict) else (*values[name], *value)
            values[name] = value
            given.add(name)
        for flag in self._flags.values():
            if flag.required and not values[flag.name]:
                raise FlagError(f"--{flag.name} is required: {flag.help}")
        return Values(values, frozenset(given))

    def _find(self, name: str) -> Flag:
        flag = self._flags.get(name)
        if flag is None:
            near = difflib.get_close_matches(name, self._flags, 1)
            hint = f"; did you mean --{near[0]}?" if near else "; see --help"
            raise FlagError(f"--{name}: unknown flag{hint}")
        return flag

    @staticmethod
    def _following(flag: Flag, rest: list[str]) -> str:
        if flag.kind == "bool":
            return "true"
        if not rest:
            raise FlagError(f"--{flag.name}: needs a value")
        return rest.pop(0)

    def usage(self) -> str:
        lines = [f"{self.program}: {self.summary}", "", "Flags:"]
        for flag in self._flags.values():
            shown = self._shown(flag)
            lines.append(f"  --{flag.name} {flag.kind}")
            lines.append(f"        {flag.help}{f' (default {shown})' if shown else ''}")
        return "\n".join(lines)

    @staticmethod
    def _shown(flag: Flag) -> str:
        if flag.kind == "duration":
            return format_duration(flag.default)
        if isinstance(flag.default, tuple):
            return ",".join(flag.default)
        if isinstance(flag.default, dict):
            return ",".join(f"{k}={v}" for k, v in flag.default.items())
        return str(flag.default).lower() if isinstance(flag.default, bool) else str(flag.default)


def fail(program: str, sentence: str) -> NoReturn:
    """End a service that cannot start: one sentence on stderr, code 1."""
    print(f"{program}: {sentence}", file=sys.stderr)
    raise SystemExit(1)
