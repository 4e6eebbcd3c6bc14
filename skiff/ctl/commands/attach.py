"""`attach`: the streams of the process that runs in a container already."""

from __future__ import annotations

import click

from skiff.ctl.failures import Failure
from skiff.ctl.pods import container_named, container_spec, pod_named
from skiff.ctl.session import Session
from skiff.ctl.words import command


@command("attach")
@click.argument("word", metavar="POD | TYPE/NAME")
@click.option("-c", "--container", default="", help="Which container.")
@click.option("-i", "--stdin", is_flag=True, help="Pass standard input on.")
@click.option("-t", "--tty", is_flag=True, help="Standard input is a terminal.")
@click.option("-q", "--quiet", is_flag=True, help="Only what the process prints.")
@click.option("--pod-running-timeout", default="1m", hidden=True)
async def attach_command(
    session: Session, word: str, container: str, stdin: bool, tty: bool, quiet: bool, pod_running_timeout: str
) -> int:
    """Attach to the process of a container."""
    pod = await pod_named(session, word)
    name, remark = container_named(pod, container)
    if remark and not quiet:
        click.echo(remark, err=True)
    return await attached(session, pod, name, stdin, tty, quiet)


async def attached(
    session: Session, pod: dict[str, dict[str, str]], name: str, stdin: bool, tty: bool, quiet: bool
) -> int:
    """Until the process or this end of the connection is done."""
    from skiff.ctl.streams import Wish, talk

    spec = container_spec(pod, name)
    if stdin and not spec.get("stdin"):
        raise Failure(f"container {name} does not have stdin; attach without -i")
    if tty and not spec.get("tty"):
        if not quiet:
            click.echo(f"Unable to use a TTY - container {name} did not allocate one", err=True)
        tty = False
    if not quiet and stdin:
        click.echo("If you don't see a command prompt, try pressing enter.", err=True)
    wish = Wish(stdin=stdin, stderr=not tty and not spec.get("tty"), tty=tty)
    metadata = pod["metadata"]
    path = f"/api/v1/namespaces/{metadata['namespace']}/pods/{metadata['name']}/attach?{wish.query(name)}"
    code, sentence = await talk(session, path, wish)
    if sentence and not quiet:
        click.echo(sentence if sentence.startswith("command ") else f"error: {sentence}", err=True)
    return code
