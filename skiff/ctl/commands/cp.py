"""`cp`: files into and out of containers, by tar at both ends; the container needs tar."""

from __future__ import annotations

import io
import sys
import tarfile
import tempfile
from pathlib import Path, PurePosixPath

import click

from skiff.ctl.failures import Failure
from skiff.ctl.pods import container_named
from skiff.ctl.session import Session
from skiff.ctl.words import command

_IN_MEMORY = 64 * 1024 * 1024


@command("cp")
@click.argument("source")
@click.argument("destination")
@click.option("-c", "--container", default="", help="Which container.")
@click.option("--no-preserve", is_flag=True, help="Do not keep owners and modes.")
async def cp_command(session: Session, source: str, destination: str, container: str, no_preserve: bool) -> None:
    """Copy files into and out of containers.

    \b
    skiffctl cp ./file POD:/tmp/file
    skiffctl cp NAMESPACE/POD:/etc/hosts ./hosts
    """
    away, here = remote(source), remote(destination)
    if (away is None) == (here is None):
        raise Failure("one of src or dest must be a local file specification, the other POD:PATH")
    pod = away or here
    assert pod is not None
    namespace, name, path = pod
    if not path:
        raise Failure("filepath can not be empty")
    place = namespace or session.namespace
    found = await session.client.get(f"/api/v1/namespaces/{place}/pods/{name}")
    chosen, remark = container_named(found, container)
    if remark:
        click.echo(remark, err=True)
    base = f"/api/v1/namespaces/{place}/pods/{name}/exec"
    if here is not None:
        await _up(session, base, chosen, source, path, no_preserve)
    else:
        await _down(session, base, chosen, path, destination)


def remote(word: str) -> tuple[str, str, str] | None:
    """Namespace, pod and path of `[NAMESPACE/]POD:PATH`; None for a local path."""
    place, colon, path = word.partition(":")
    if not colon or place.startswith((".", "/")):
        return None
    namespace, slash, pod = place.rpartition("/")
    return (namespace if slash else "", pod, path)


async def _run(
    session: Session, base: str, container: str, words: list[str], data: io.IOBase | None, out: io.IOBase
) -> None:
    from skiff.ctl.streams import Wish, talk

    wish = Wish(stdin=data is not None)
    path = f"{base}?{wish.query(container, words)}"
    code, sentence = await talk(session, path, wish, out, data)  # type: ignore[arg-type]
    if code:
        raise Failure(sentence)


async def _up(session: Session, base: str, container: str, source: str, path: str, plain: bool) -> None:
    target = PurePosixPath(path)
    if path.endswith("/"):
        target = target / Path(source).name
    with tempfile.SpooledTemporaryFile(_IN_MEMORY) as packed:
        _pack(source, target.name, packed)
        words = ["tar", "-xmf", "-", "-C", str(target.parent)]
        if plain:
            words.insert(1, "--no-same-owner")
        await _run(session, base, container, words, packed, sys.stdout.buffer)  # type: ignore[arg-type]


def _pack(source: str, name: str, packed: tempfile.SpooledTemporaryFile[bytes]) -> None:
    if not Path(source).exists():
        raise Failure(f"{source} doesn't exist in local filesystem")
    with tarfile.open(fileobj=packed, mode="w|") as archive:
        archive.add(source, arcname=name)
    packed.seek(0)


async def _down(session: Session, base: str, container: str, path: str, destination: str) -> None:
    source = PurePosixPath(path)
    with tempfile.SpooledTemporaryFile(_IN_MEMORY) as packed:
        words = ["tar", "cf", "-", "-C", str(source.parent), source.name or "."]
        await _run(session, base, container, words, None, packed)
        packed.seek(0)
        unpack(packed, source.name or ".", Path(destination))


def unpack(packed: tempfile.SpooledTemporaryFile[bytes], name: str, destination: Path) -> None:
    """What lies below `name` in the archive goes to `destination`; nothing ever goes anywhere else."""
    if destination.is_dir():
        destination = destination / name
    with tarfile.open(fileobj=packed, mode="r:") as archive:
        for member in archive:
            below = PurePosixPath(member.name)
            if ".." in below.parts or below.is_absolute() or below.parts[:1] != PurePosixPath(name).parts[:1]:
                click.echo(f"warning: file {member.name!r} is outside target destination, skipping", err=True)
                continue
            target = destination.joinpath(*below.parts[1:])
            if member.isdir():
                target.mkdir(parents=True, exist_ok=True)
            elif member.isfile():
                target.parent.mkdir(parents=True, exist_ok=True)
                data = archive.extractfile(member)
                assert data is not None
                target.write_bytes(data.read())
                target.chmod(member.mode & 0o777)
            else:
                click.echo(f"warning: skipping {member.name!r}: only files and folders are copied", err=True)
