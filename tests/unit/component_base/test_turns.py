"""Slices of long work: one in each turn of the loop, and nobody is forgotten."""

from __future__ import annotations

import asyncio

from component_base.turns import next_turn


async def worker(name: str, slices: int, said: list[str]) -> None:
    for _ in range(slices):
        await next_turn()
        said.append(name)


async def test_one_slice_in_a_turn_of_the_loop() -> None:
    said: list[str] = []
    workers = [asyncio.ensure_future(worker(name, 20, said)) for name in "abcde"]
    most, before = 0, 0
    while not all(one.done() for one in workers):
        await asyncio.sleep(0)
        most, before = max(most, len(said) - before), len(said)
    assert most == 1
    assert said[:10] == list("abcde") * 2
    assert len(said) == 100


async def test_who_gives_up_holds_nobody() -> None:
    said: list[str] = []
    first, second, third = (asyncio.ensure_future(worker(name, 3, said)) for name in "abc")
    await asyncio.sleep(0)
    second.cancel()
    first.cancel()
    await third
    assert said == ["c"] * 3
    await worker("d", 2, said)
    assert said == ["c"] * 3 + ["d"] * 2
