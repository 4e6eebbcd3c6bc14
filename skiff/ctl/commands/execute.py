"""`exec`: a command in a container, with this terminal if asked for; its exit code becomes this program's."""

from __future__ import annotations

import sys

import click

from skiff.ctl.failures import Failure
from skiff.ctl.pods import container_named, pod_named
from skiff.ctl.session import Session
from skiff.ctl.words import command


@command("exec")
@click.argument("words", nargs=-1, metavar="POD | TYPE/NAME -- COMMAND [ARGUMENT…]")
@click.option("-c", "--container", default="", help="Which container.")
@click.option("-i", "--stdin", is_flag=True, help="Pass standard input on.")
@click.option("-t", "--tty", is_flag=True, help="Standard input is a terminal.")
@click.option("-q", "--quiet", is_flag=True, help="Only what the command prints.")
@click.option("--pod-running-timeout", default="1m", hidden=True)
async def exec_command(
    session: Session,
    words: tuple[str, ...],
    container: str,
    stdin: bool,
    tty: bool,
    quiet: bool,
    pod_running_timeout: str,
) -> int:
    """Run a command in a container.

    \b
    skiffctl exec hello-1 -- ls /
    skiffctl exec -it deploy/hello -c web -- sh
    """
    if not words:
        raise Failure("pod, type/name or --filename must be specified")
    dashed: int = click.get_current_context().meta["skiff.dashed"]
    if len(words) < 2 or dashed == len(words):
        raise Failure("you must specify at least one command for the container")
    if not dashed:
        raise Failure("exec [POD] [COMMAND] is not supported anymore. Use exec [POD] -- [COMMAND] instead")
    from skiff.ctl.streams import Wish, talk

    pod = await pod_named(session, words[0])
    phase = (pod.get("status") or {}).get("phase")
    if phase in ("Succeeded", "Failed"):
        raise Failure(f"cannot exec into a container in a completed pod; current phase is {phase}")
    name, remark = container_named(pod, container)
    if remark and not quiet:
        click.echo(remark, err=True)
    if tty and not (stdin and sys.stdin.isatty()):
        click.echo("Unable to use a TTY - input is not a terminal or the right kind of file", err=True)
        tty = False
    wish = Wish(stdin=stdin, stderr=not tty, tty=tty)
    metadata = pod["metadata"]
    path = f"/api/v1/namespaces/{metadata['namespace']}/pods/{metadata['name']}/exec?{wish.query(name, words[1:])}"
    code, sentence = await talk(session, path, wish)
    if sentence and not quiet:
        click.echo(sentence if sentence.startswith("command ") else f"error: {sentence}", err=True)
    return code
