"""UDP and TCP listeners: parse, let the zone answer, forward the rest.

Cluster names are answered within the datagram callback; only forwarded questions cost a task. TCP connections are
bounded in number, in idle time and in questions under way.
"""

from __future__ import annotations

import asyncio
import logging
from typing import cast

import dns.message
import dns.rcode

from cluster_dns import wire
from cluster_dns.forward import Forwarder, NoAnswer
from cluster_dns.zone import Zone

TCP_CONNECTIONS = 500
TCP_IDLE_SECONDS = 10.0

log = logging.getLogger(__name__)


class DnsServer:
    """`counts` are answers by response code, for metrics. Start it within a task group that outlives it."""

    def __init__(self, zone: Zone, forwarder: Forwarder, tasks: asyncio.TaskGroup) -> None:
        self._zone = zone
        self._forwarder = forwarder
        self._tasks = tasks
        self._rotation = 0
        self._tcp_open = 0
        self.counts: dict[str, int] = {}

    async def start(self, address: str, port: int) -> tuple[asyncio.BaseTransport, asyncio.Server]:
        """Bind both transports. Raises OSError naming what is in the way."""
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_datagram_endpoint(lambda: _Datagrams(self), local_addr=(address, port))
        try:
            server = await asyncio.start_server(self._serve_tcp, address, port)
        except OSError:
            transport.close()
            raise
        return transport, server

    def answer_locally(self, query: dns.message.Message) -> dns.message.Message | None:
        """The zone's answer, following a CNAME as long as it stays in the cluster; None: ask outside."""
        self._rotation += 1
        response = wire.respond(query, self._zone, self._rotation)
        if response is not None and (target := wire.external_target(response, self._zone)) is not None:
            follow = dns.message.make_query(target, query.question[0].rdtype)
            inner = wire.respond(follow, self._zone, self._rotation)
            if inner is not None:
                response.answer += inner.answer
        return response

    def count(self, response: dns.message.Message) -> dns.message.Message:
        code = dns.rcode.to_text(response.rcode())
        self.counts[code] = self.counts.get(code, 0) + 1
        return response

    def datagram(self, data: bytes, peer: tuple[str, int], transport: asyncio.DatagramTransport) -> None:
        try:
            query = wire.parse(data)
        except wire.Malformed:
            return
        response = self.answer_locally(query)
        if response is not None and not self._must_follow(response):
            transport.sendto(wire.to_datagram(self.count(response), query), peer)
            return
        self._tasks.create_task(self._datagram_outside(query, data, peer, transport, response))

    async def _datagram_outside(
        self,
        query: dns.message.Message,
        data: bytes,
        peer: tuple[str, int],
        transport: asyncio.DatagramTransport,
        alias: dns.message.Message | None,
    ) -> None:
        answer = await self._outside(query, data, over_tcp=False, alias=alias)
        if not transport.is_closing():
            transport.sendto(answer if isinstance(answer, bytes) else wire.to_datagram(answer, query), peer)

    async def _outside(
        self, query: dns.message.Message, data: bytes, over_tcp: bool, alias: dns.message.Message | None
    ) -> bytes | dns.message.Message:
        """The resolver's bytes as they came, or our message when an ExternalName leads out of the cluster."""
        try:
            if alias is None:
                self.counts["FORWARDED"] = self.counts.get("FORWARDED", 0) + 1
                return await self._forwarder.ask(data, over_tcp)
            target = wire.external_target(alias, self._zone)
            assert target is not None, "only an unfinished alias is followed outside"
            follow = dns.message.make_query(target, query.question[0].rdtype)
            outside = dns.message.from_wire(await self._forwarder.ask(follow.to_wire(), over_tcp))
            alias.answer += outside.answer
        except (NoAnswer, dns.exception.DNSException) as error:
            log.debug("forwarding failed: %s", error)
            if alias is None:
                return self.count(wire.failure(query, dns.rcode.SERVFAIL))
        assert alias is not None, "a plain question was answered or failed above"
        return self.count(alias)

    def _must_follow(self, response: dns.message.Message) -> bool:
        return wire.external_target(response, self._zone) is not None

    async def _serve_tcp(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._tcp_open >= TCP_CONNECTIONS:
            writer.close()
            return
        self._tcp_open += 1
        try:
            while True:
                async with asyncio.timeout(TCP_IDLE_SECONDS):
                    size = int.from_bytes(await reader.readexactly(2), "big")
                    data = await reader.readexactly(size)
                query = wire.parse(data)
                response: bytes | dns.message.Message | None = self.answer_locally(query)
                if response is None:
                    response = await self._outside(query, data, over_tcp=True, alias=None)
                elif isinstance(response, dns.message.Message) and self._must_follow(response):
                    response = await self._outside(query, data, over_tcp=True, alias=response)
                else:
                    assert isinstance(response, dns.message.Message)
                    self.count(response)
                answer = response if isinstance(response, bytes) else response.to_wire()
                writer.write(len(answer).to_bytes(2, "big") + answer)
                await writer.drain()
        except (TimeoutError, OSError, asyncio.IncompleteReadError, wire.Malformed):
            pass
        finally:
            self._tcp_open -= 1
            writer.close()


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, server: DnsServer) -> None:
        self._server = server
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)  # uvloop's has another base

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        assert self._transport is not None, "datagrams arrive on a made connection"
        self._server.datagram(data, addr, self._transport)
