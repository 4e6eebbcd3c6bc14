"""`skiff image`: images into the node's containerd without a registry."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path

import click

from component_base.rpc import RpcError
from kubelet.cri_shim.image_load import ArchiveError
from kubelet.cri_shim.image_recipe import RecipeError
from kubelet.cri_shim.image_store import open_images as open_containerd_images
from kubelet.cri_shim.toolbox_image import TOOLBOX_IMAGE, NoBusyboxError, toolbox_image
from skiff.cluster.images import open_images
from skiff.cluster.layout import Layout
from skiff.commands.lifecycle import STATE_DIR
from skiff.commands.output import stop, table


@click.group(short_help="images: load, build, list")
def image() -> None:
    """Images of this node. Pods use a loaded image with imagePullPolicy IfNotPresent or Never."""


@image.command("load", short_help="load archives made by `docker save` or of an OCI layout")
@click.argument("archives", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@STATE_DIR
def load(archives: tuple[Path, ...], state_dir: Path) -> None:
    async def run() -> None:
        async with open_images(Layout.of(state_dir)) as store:
            for archive in archives:
                for name in await store.loader.load_archive(str(archive)):
                    click.echo(name)

    _run(run)


@image.command("build", short_help="from a Dockerfile without RUN, or the toolbox (busybox) of this host's own files")
@click.argument("context", required=False, type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("-t", "--tag", default="", help=f"Name of the image ({TOOLBOX_IMAGE} when no folder is given).")
@click.option("-f", "--file", "dockerfile", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--build-arg", "arguments", multiple=True, metavar="NAME=VALUE", help="Value of an ARG; may be repeated.")
@STATE_DIR
def build(context: Path | None, tag: str, dockerfile: Path | None, arguments: tuple[str, ...], state_dir: Path) -> None:
    """Make an image in the node's containerd and print its id.

    With a folder, its Dockerfile is built: FROM scratch or an image of this node, COPY, ENV, WORKDIR, USER, CMD and the
    like. RUN needs docker or buildah: save what they built and use `skiff image load`. Without a folder, the toolbox
    image is made.
    """
    if context is not None and not tag:
        stop("-t NAME is missing: how is the image to be called, such as skiff.local/app:1?")
    given = dict(argument.partition("=")[::2] for argument in arguments)

    async def run() -> None:
        async with open_containerd_images(f"unix://{Layout.of(state_dir).containerd_socket}") as images:
            if context is None:
                click.echo(await images.load_built(toolbox_image(name=tag or TOOLBOX_IMAGE)))
            else:
                text = (dockerfile or context / "Dockerfile").read_text()
                click.echo(await images.build(tag, text, str(context), given))

    _run(run)


@image.command("list", short_help="images of this node")
@STATE_DIR
def list_images(state_dir: Path) -> None:
    async def run() -> None:
        async with open_images(Layout.of(state_dir)) as store:
            rows = [
                (tag, info.id.removeprefix("sha256:")[:12], f"{info.size / 1e6:.1f} MB")
                for info in await store.catalog.list()
                for tag in (info.tags or ["<none>"])
            ]
            table(("IMAGE", "ID", "SIZE"), sorted(rows))

    _run(run)


def _run(work: Callable[[], Coroutine[None, None, None]]) -> None:
    try:
        asyncio.run(work())
    except RpcError as error:
        stop(f"containerd does not answer ({error.message}); is the cluster up? `skiff status` tells")
    except (ArchiveError, NoBusyboxError, RecipeError, OSError, ValueError) as error:
        stop(str(error))
