"""Whichever worker is asked for metrics answers for all of them; the label `worker` tells them apart."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable

from apiserver.workers import Worker
from component_base import metrics

log = logging.getLogger(__name__)
ASK_SECONDS = 2.0


async def answer_others(worker: Worker) -> asyncio.Server | None:
    """Begin to answer on this worker's socket; None where there are no others."""
    if worker.is_alone or worker.folder is None:
        return None

    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(await asyncio.to_thread(metrics.exposition))
        await writer.drain()
        writer.close()

    path = worker.folder / str(worker.index)
    path.unlink(missing_ok=True)
    return await asyncio.start_unix_server(answer, path)


async def exposition(worker: Worker) -> bytes:
    """Of this process, or of all workers; one that does not answer is left out."""
    if worker.is_alone:
        return await asyncio.to_thread(metrics.exposition)
    answers = await asyncio.gather(*(_ask(worker, index) for index in range(worker.count)))
    return merge((index, text) for index, text in enumerate(answers) if text).encode()


async def _ask(worker: Worker, index: int) -> str:
    if index == worker.index or worker.folder is None:
        return (await asyncio.to_thread(metrics.exposition)).decode()
    try:
        async with asyncio.timeout(ASK_SECONDS):
            reader, writer = await asyncio.open_unix_connection(worker.folder / str(index))
            text = (await reader.read()).decode()
            writer.close()
            return text
    except (OSError, TimeoutError) as error:
        log.info("worker %d does not tell its metrics: %s", index, error or "no answer")
        return ""


def merge(texts: Iterable[tuple[int, str]]) -> str:
    """Samples of the same name stay together, as the format demands."""
    families: dict[str, list[str]] = {}
    for index, text in texts:
        family: list[str] = []
        fresh = False
        for line in text.splitlines():
            if line.startswith("# HELP "):
                name = line.split(" ", 3)[2]
                fresh = name not in families
                family = families.setdefault(name, [])
            if line.startswith("#"):
                if fresh:
                    family.append(line)
            elif line:
                family.append(_labelled(line, index))
    return "".join(f"{line}\n" for family in families.values() for line in family)


def _labelled(line: str, index: int) -> str:
    name, brace, rest = line.partition("{")
    if brace and " " not in name:
        return f'{name}{{worker="{index}",{rest}'
    name, _, value = line.partition(" ")
    return f'{name}{{worker="{index}"}} {value}'
