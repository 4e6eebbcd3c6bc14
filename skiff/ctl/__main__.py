"""`skiffctl`: the words of the command line go in, an exit code comes out; no traceback ever does."""

from __future__ import annotations

import os
import sys

import click

from skiff.ctl.catalogue_of_commands import COMMANDS
from skiff.ctl.words import Group, suggestion

TRACE = "SKIFFCTL_TRACE"

root = Group("skiffctl", commands_below=COMMANDS, help="Talk to a Kubernetes API server.", shows_connection=True)


def run(arguments: list[str]) -> int:
    """The exit code. 1 for whatever goes wrong, as kubectl has it; a command may choose another."""
    # httpx brings a command line of its own, whose libraries take longer to import than httpx; it can do without.
    sys.modules.setdefault("httpx._main", None)  # type: ignore[arg-type]
    try:
        answer = root.main(arguments, prog_name="skiffctl", standalone_mode=False)
        return answer if isinstance(answer, int) else 0
    except click.exceptions.NoArgsIsHelpError as asked:
        click.echo(asked.message)
        return 0
    except click.exceptions.Exit as ended:
        return ended.exit_code
    except (click.Abort, KeyboardInterrupt):
        return 130
    except click.UsageError as error:
        click.echo(f"error: {suggestion(error)}", err=True)
        if error.ctx is not None:
            click.echo(f"See '{error.ctx.command_path} --help' for usage.", err=True)
        return 1
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what is still buffered has no reader
        return 1
    except Exception as error:
        from skiff.ctl.failures import Said, lines

        if isinstance(error, Said):
            return error.code
        if os.environ.get(TRACE):
            raise
        sentences = lines(error)
        if sentences is None:
            sentences = [f"error: {type(error).__name__}: {error} (a bug of skiffctl; {TRACE}=1 shows where)"]
        for sentence in sentences:
            click.echo(sentence, err=True)
        return 1


def main() -> None:
    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
