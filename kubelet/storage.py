"""Keeps the disk in order: rotates the logs of running containers, removes images nobody uses when space runs out."""

import asyncio
import gzip
import logging
import os
import shutil
from pathlib import Path

from component_base.clock import Clock
from kubelet.agent import Agent
from kubelet.cri.runtime import RuntimeFailure
from kubelet.images.collect import CollectPolicy, StoredImage, images_to_remove, note_use
from kubelet.node.machine import read_disk
from kubelet.sync.observed import State

log = logging.getLogger(__name__)
LOG_PERIOD = 10.0
IMAGE_PERIOD = 300.0
COMPRESSED = ".gz"


class Storekeeper:
    def __init__(self, agent: Agent, clock: Clock) -> None:
        self._agent = agent
        self._clock = clock
        self._images: dict[str, tuple[float, float]] = {}

    async def rotate_logs(self) -> None:
        while True:
            await self._clock.sleep(LOG_PERIOD)
            for worker in list(self._agent.fleet.workers.values()):
                for seen in worker.seen.containers:
                    if seen.state is State.RUNNING and seen.log_path:
                        await self._rotate(seen.id, Path(seen.log_path))

    async def _rotate(self, container_id: str, path: Path) -> None:
        settings = self._agent.settings
        stamp = int(self._clock.now() * 1000)
        try:
            if not await asyncio.to_thread(rename_large, path, settings.log_max_size, stamp):
                return
            await self._agent.runtime.reopen_log(container_id)
            await asyncio.to_thread(tidy_rotated, path, settings.log_max_files)
        except (OSError, RuntimeFailure) as error:
            log.warning("cannot rotate %s: %s", path, error)

    async def collect_images(self) -> None:
        while True:
            await self._clock.sleep(IMAGE_PERIOD)
            try:
                await self._collect()
            except (OSError, RuntimeFailure) as error:
                log.warning("cannot collect unused images: %s", error)

    async def _collect(self) -> None:
        settings, runtime, now = self._agent.settings, self._agent.runtime, self._clock.now()
        images = await runtime.list_images()
        used = {c.image_ref for c in await runtime.list_containers()}
        used |= {c.image.image for c in await runtime.list_containers()}
        busy = {i.id for i in images if used & {i.id, *i.repo_tags, *i.repo_digests}}
        self._images = note_use(self._images, [i.id for i in images], busy, now)
        disk = await asyncio.to_thread(read_disk, settings.root)
        stored = [StoredImage(i.id, i.size, self._images[i.id][1], self._images[i.id][0], i.pinned) for i in images]
        policy = CollectPolicy(settings.image_gc_high, settings.image_gc_low, settings.image_minimum_age)
        chosen = images_to_remove(
            stored, busy, capacity=disk.total, used=disk.total - disk.free, policy=policy, now=now
        )
        for image in chosen:
            log.info("removing image %s, which nothing uses, to free space", image)
            await runtime.remove_image(image)


def rename_large(path: Path, limit: int, stamp: int) -> bool:
    """Moves a log that has grown beyond the limit out of the runtime's way. The runtime must reopen it then."""
    try:
        if path.stat().st_size < limit:
            return False
    except FileNotFoundError:
        return False
    path.rename(path.with_name(f"{path.name}.{stamp}"))
    return True


def _stamp(path: Path, rotated: Path) -> int:
    digits = rotated.name.removeprefix(f"{path.name}.").removesuffix(COMPRESSED)
    return int(digits) if digits.isdigit() else 0


def tidy_rotated(path: Path, keep: int) -> None:
    """Compresses all rotated files but the newest, and removes the oldest beyond `keep` (the live one counts)."""
    rotated = sorted(path.parent.glob(f"{path.name}.*"), key=lambda p: _stamp(path, p))
    for old in rotated[: max(0, len(rotated) - (keep - 1))]:
        old.unlink()
    for file in rotated[-(keep - 1) : -1] if keep > 1 else ():
        if file.suffix == COMPRESSED or not file.exists():
            continue
        part = file.with_name(f".{file.name}.part")
        with file.open("rb") as source, gzip.open(part, "wb") as target:
            shutil.copyfileobj(source, target)
        os.replace(part, file.with_name(file.name + COMPRESSED))
        file.unlink()
