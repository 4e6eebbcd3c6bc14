"""How commands speak: progress line by line with times, one clear sentence when something cannot be done."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import NoReturn

import click

from component_base.clock import Clock


class Progress:
    """`  1.3 s  apiserver is ready`: seconds since the command began."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._start = clock.monotonic()

    def say(self, text: str) -> None:
        click.echo(f"{self.seconds:6.1f} s  {text}")

    @property
    def seconds(self) -> float:
        return self._clock.monotonic() - self._start


def stop(sentence: str, code: int = 1) -> NoReturn:
    """End the command: what is wrong and what to do."""
    click.echo(f"skiff: {sentence}", err=True)
    sys.exit(code)


def table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Columns as kubectl prints them."""
    widths = [max(len(row[i]) for row in [headings, *rows]) for i in range(len(headings))]
    for row in [headings, *rows]:
        click.echo("   ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
