"""Asks the resolvers of the host for what is not ours, passing queries through byte for byte.

Resolvers are tried in order, the last one that answered first. One that was silent twice rests for a few seconds, so
that without an uplink clients hear SERVFAIL at once instead of waiting until they give up. Bounded: past `LIMIT`
questions in flight a new one is refused (SERVFAIL) instead of queued, so that a dead uplink cannot eat the memory that
cluster names need.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import cast

from component_base.clock import Clock
from component_base.rng import Rng

LIMIT = 1000
TIMEOUT_SECONDS = 1.5
"""Three silent resolvers take less than the five seconds after which most clients give up."""
SILENT_TIMES = 2
REST_SECONDS = 5.0
MAX_MESSAGE = 65535

log = logging.getLogger(__name__)


class NoAnswer(Exception):
    """No resolver answered in time, or there is none."""


def resolvers_of(resolv_conf: str, own: Sequence[str]) -> list[str]:
    """Addresses in a resolv.conf text, without our own (a loop) and without scoped or malformed ones."""
    found = []
    for line in resolv_conf.splitlines():
        words = line.split()
        if len(words) >= 2 and words[0] == "nameserver" and words[1] not in own and "%" not in words[1]:
            found.append(words[1])
    return found[:3]


def read_resolvers(path: Path, own: Sequence[str]) -> list[str]:
    try:
        return resolvers_of(path.read_text(), own)
    except OSError as error:
        log.warning("no resolvers for outside names: %s", error)
        return []


class Forwarder:
    def __init__(
        self,
        resolvers: Sequence[str],
        rng: Rng,
        clock: Clock,
        port: int = 53,
        timeout: float = TIMEOUT_SECONDS,
    ) -> None:
        self._resolvers = list(resolvers)  # best first
        self._rng = rng
        self._clock = clock
        self._port = port
        self._timeout = timeout
        self._silent: dict[str, tuple[int, float]] = {}
        """Resolver -> how often it was silent in a row, and until when it rests."""
        self._in_flight = 0

    async def ask(self, query: bytes, over_tcp: bool) -> bytes:
        """The answer with the query's own id. Raises NoAnswer."""
        if self._in_flight >= LIMIT:
            raise NoAnswer("too many questions in flight")
        self._in_flight += 1
        try:
            for resolver in list(self._resolvers):
                if self._rests(resolver):
                    continue
                try:
                    async with asyncio.timeout(self._timeout):
                        answer = await (self._tcp if over_tcp else self._udp)(resolver, query)
                except TimeoutError:
                    self._was_silent(resolver)
                    continue
                except (OSError, asyncio.IncompleteReadError):
                    continue
                self._silent.pop(resolver, None)
                self._prefer(resolver)
                return answer
        finally:
            self._in_flight -= 1
        raise NoAnswer("no resolver answered" if self._resolvers else "the host has no resolver")

    def _rests(self, resolver: str) -> bool:
        times, until = self._silent.get(resolver, (0, 0.0))
        return times >= SILENT_TIMES and self._clock.monotonic() < until

    def _was_silent(self, resolver: str) -> None:
        times, _ = self._silent.get(resolver, (0, 0.0))
        self._silent[resolver] = (times + 1, self._clock.monotonic() + REST_SECONDS)

    def _prefer(self, resolver: str) -> None:
        if self._resolvers[0] != resolver:
            self._resolvers.remove(resolver)
            self._resolvers.insert(0, resolver)

    async def _udp(self, resolver: str, query: bytes) -> bytes:
        loop = asyncio.get_running_loop()
        # A fresh port and id for each question: what a forger would have to guess.
        identity = self._rng.getrandbits(16).to_bytes(2, "big")
        answer: asyncio.Future[bytes] = loop.create_future()
        transport, _ = await loop.create_datagram_endpoint(
            lambda: _Exchange(identity + query[2:], answer), remote_addr=(resolver, self._port)
        )
        try:
            return query[:2] + (await answer)[2:]
        finally:
            transport.close()

    async def _tcp(self, resolver: str, query: bytes) -> bytes:
        reader, writer = await asyncio.open_connection(resolver, self._port)
        try:
            writer.write(len(query).to_bytes(2, "big") + query)
            await writer.drain()
            return await reader.readexactly(int.from_bytes(await reader.readexactly(2), "big"))
        finally:
            writer.close()


class _Exchange(asyncio.DatagramProtocol):
    """One question to one resolver; answers with another id are ignored."""

    def __init__(self, query: bytes, answer: asyncio.Future[bytes]) -> None:
        self._query = query
        self._answer = answer

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        cast(asyncio.DatagramTransport, transport).sendto(self._query)  # uvloop's has another base

    def datagram_received(self, data: bytes, addr: object) -> None:
        if data[:2] == self._query[:2] and not self._answer.done():
            self._answer.set_result(data)

    def error_received(self, exc: Exception) -> None:
        if not self._answer.done():
            self._answer.set_exception(exc)
