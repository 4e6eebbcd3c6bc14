"""Commands as kubectl's users write them: flags anywhere, `-o=json`, `--wait=false`, near names for mistyped ones.

click leaves out each of these; `Command` and `Group` add them, and give every command the flags of the connection.
"""

from __future__ import annotations

import asyncio
import difflib
import importlib
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import click

from skiff.ctl.connection import Flags, connection_options


@dataclass(frozen=True, slots=True)
class Entry:
    """Where a command is to be found; `attribute` is what it is called in its module."""

    module: str
    attribute: str
    help: str
    section: str = "Commands"

    def load(self) -> click.Command:
        found: click.Command = getattr(importlib.import_module(self.module), f"{self.attribute}_command")
        return found


def normal(arguments: Sequence[str], options: Sequence[click.Parameter]) -> list[str]:
    """Arguments the way click reads them; what follows `--` is left alone."""
    flags = {
        name: option
        for option in options
        if isinstance(option, click.Option) and option.is_flag
        for name in option.opts
    }
    given: list[str] = []
    for place, word in enumerate(arguments):
        if word == "--":
            return [*given, *arguments[place:]]
        name, equals, value = word.partition("=")
        if equals and name in flags and value.lower() in ("true", "false", "1", "0"):
            if value.lower() in ("true", "1"):
                given.append(name)
            else:
                given += flags[name].secondary_opts[:1]
        elif equals and len(name) == 2 and name[0] == "-" and name[1].isalpha():
            given += [name, value]
        else:
            given.append(word)
    return given


class Command(click.Command):
    """A command whose function takes a Session first, and may be a coroutine function."""

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        taken = {name for option in self.params for name in option.opts}
        shared = [option for option in connection_options(hidden=True) if not taken & set(option.opts)]
        self.params = [*self.params, *shared]

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        ctx.meta["skiff.dashed"] = len(args) - args.index("--") - 1 if "--" in args else 0
        return super().parse_args(ctx, normal(args, self.params))

    def invoke(self, ctx: click.Context) -> Any:
        return call(self.callback, ctx)


def call(callback: Callable[..., Any] | None, ctx: click.Context) -> Any:
    """Run a command's function with a session that ends with it."""
    from skiff.ctl.session import Session

    assert callback is not None
    own = {**ctx.params}
    session = Session(Flags.collect(ctx, own))
    if not inspect.iscoroutinefunction(callback):
        return callback(session, **own)

    async def within() -> Any:
        try:
            return await callback(session, **own)
        finally:
            await session.close()

    return asyncio.run(within())


class Group(click.Group):
    """Commands that are imported when one of them is meant. With a callback it is a command too (`create -f`)."""

    def __init__(
        self,
        name: str,
        *,
        commands_below: Mapping[str, Entry] | None = None,
        shows_connection: bool = False,
        **more: Any,
    ) -> None:
        more.setdefault("context_settings", {"help_option_names": ["-h", "--help"]})
        super().__init__(name, **more)
        self._entries = dict(commands_below or {})
        self.params = [*self.params, *connection_options(hidden=not shows_connection)]

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        return super().parse_args(ctx, normal(args, self.params))

    def invoke(self, ctx: click.Context) -> Any:
        callback, self.callback = self.callback, None
        try:
            if callback is not None and not ctx._protected_args and not ctx.args:
                return call(callback, ctx)
            return super().invoke(ctx)
        finally:
            self.callback = callback

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*self._entries, *super().list_commands(ctx)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name in self._entries:
            return self._entries[cmd_name].load()
        return super().get_command(ctx, cmd_name)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if self.get_command(ctx, args[0]) is None and not args[0].startswith("-"):
            near = difflib.get_close_matches(args[0], self.list_commands(ctx), n=3, cutoff=0.5)
            hint = "\n\nDid you mean this?\n" + "".join(f"\t{name}\n" for name in near) if near else ""
            raise click.UsageError(f'unknown command "{args[0]}" for "{ctx.command_path}"{hint}', ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        sections: dict[str, list[tuple[str, str]]] = {}
        for name, entry in self._entries.items():
            sections.setdefault(entry.section, []).append((name, entry.help))
        for name, command in self.commands.items():
            sections.setdefault("Commands", []).append((name, command.get_short_help_str(100)))
        for section, rows in sections.items():
            with formatter.section(section):
                formatter.write_dl(rows)


def command(name: str, **more: Any) -> Callable[[Callable[..., Any]], Command]:
    """Declare a command; its help is the docstring of the function."""
    settings = {"help_option_names": ["-h", "--help"], **more.pop("context_settings", {})}
    return click.command(name, cls=Command, context_settings=settings, **more)


def options(*decorators: Callable[[Callable[..., Any]], Callable[..., Any]]) -> list[click.Parameter]:
    """What decorators would add to a function, for a Group."""

    def holder() -> None: ...

    for decorator in reversed(decorators):
        decorator(holder)
    return list(reversed(getattr(holder, "__click_params__", [])))


def suggestion(error: click.UsageError) -> str:
    """click's complaint in kubectl's manner."""
    if isinstance(error, click.NoSuchOption):
        near = f" (did you mean {', '.join(error.possibilities)}?)" if error.possibilities else ""
        return f"unknown flag: {error.option_name}{near}"
    return error.format_message()
