"""`skiff image`: images into the node's containerd without a registry."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path

import click

from component_base.rpc import RpcError
from kubelet.cri_shim.image_load import ArchiveError
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


@image.command("build", short_help="make the toolbox image (busybox) from this host's own files")
@click.option("-t", "--tag", default=TOOLBOX_IMAGE, show_default=True, help="Name of the image.")
@STATE_DIR
def build(tag: str, state_dir: Path) -> None:
    async def run() -> None:
        async with open_images(Layout.of(state_dir)) as store:
            click.echo(await store.loader.load_built(toolbox_image(name=tag)))

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
    except (ArchiveError, NoBusyboxError) as error:
        stop(str(error))
