"""Where requests enter: let through at once, made to wait for their turn, or refused with 429."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

from apiserver.endpoints.exchange import Exchange
from apiserver.flowcontrol.configuration import Configuration, Flow
from apiserver.flowcontrol.queues import TIME_OUT, Refused, Ticket
from component_base.clock import Clock

#: How much of the time a request may take it may spend waiting, and the most of that in seconds.
WAIT_FRACTION, MAX_WAIT_SECONDS = 0.25, 60.0
#: A seat for so many bytes that a list holds at a time; a list never has more than this in memory at once.
BYTES_PER_SEAT, LIST_BYTES = 100_000, 1_000_000


class Busy(Exception):
    """The request was refused: too many others. The client should wait for so many seconds."""

    def __init__(self, retry_after: int = 1) -> None:
        super().__init__(retry_after)
        self.retry_after = retry_after


class Sizes(Protocol):
    def __call__(self, exchange: Exchange) -> int:
        """About how many bytes a list or the beginning of a watch has."""
        ...


class Gate:
    """`enter`, `wait` unless the ticket may begin, `leave`. Costs a few microseconds where nobody waits."""

    def __init__(self, configuration: Configuration, clock: Clock, request_seconds: float, sizes: Sizes) -> None:
        self.configuration = configuration
        self._clock = clock
        self._patience = min(MAX_WAIT_SECONDS, request_seconds * WAIT_FRACTION)
        self._sizes = sizes

    def flow(self, exchange: Exchange) -> Flow:
        flow = self.configuration.flow(exchange.user, exchange.target)
        exchange.marks = flow.marks
        return flow

    def enter(self, flow: Flow, exchange: Exchange) -> Ticket:
        """Raises Busy."""
        seats = self._seats(flow, exchange) if exchange.target.verb in ("list", "watch") else 1
        try:
            ticket = flow.level.arrive(flow.hand, seats, self._clock.monotonic())
        except Refused as refusal:
            raise self._refused(flow, str(refusal)) from None
        if ticket.state == Ticket.EXECUTING:
            flow.counts.dispatched += 1
        return ticket

    def _seats(self, flow: Flow, exchange: Exchange) -> int:
        if flow.most_seats == 1 or flow.level.limit is None or exchange.target.name:
            return 1
        if exchange.target.verb == "watch":
            query = exchange.query
            if query.get("sendInitialEvents") != "true" and query.get("resourceVersion", "0") not in ("", "0"):
                return 1
        size = min(self._sizes(exchange), LIST_BYTES)
        return max(1, min(flow.most_seats, -(-size // BYTES_PER_SEAT)))

    async def wait(self, flow: Flow, ticket: Ticket) -> None:
        """Until the request's turn. Raises Busy when that takes too long; the ticket is given back then."""
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def start() -> None:
            if not turn.done():
                turn.set_result(None)

        ticket.start = start
        begun = self._clock.monotonic()
        try:
            async with asyncio.timeout(self._patience):
                await turn
        except TimeoutError:
            if ticket.state == Ticket.WAITING:
                self.leave(flow, ticket)
                raise self._refused(flow, TIME_OUT) from None
        except BaseException:
            self.leave(flow, ticket)
            raise
        flow.counts.dispatched += 1
        flow.counts.waits[0] += 1
        flow.counts.waits[1] += self._clock.monotonic() - begun

    def leave(self, flow: Flow, ticket: Ticket) -> None:
        """The request is done. Saying so twice is fine."""
        if ticket.state == Ticket.DONE:
            return
        now = self._clock.monotonic()
        if ticket.state == Ticket.EXECUTING:
            flow.counts.runs[0] += 1
            flow.counts.runs[1] += now - ticket.begun
        ticket.level.leave(ticket, now)

    def _refused(self, flow: Flow, why: str) -> Busy:
        flow.counts.rejected[why] = flow.counts.rejected.get(why, 0) + 1
        flow.level.drops.add(self._clock.monotonic())
        return Busy(flow.level.drops.retry_after)


class InFlight:
    """The older way, without priorities: so many reads and so many writes at a time, 0 for any number."""

    def __init__(self, reads: int, writes: int) -> None:
        self._most = (reads, writes)
        self._now = [0, 0]

    def enter(self, is_write: bool, is_master: bool) -> Callable[[], None]:
        """What to call at the end. Raises Busy; administrators of the cluster always get through."""
        kind = int(is_write)
        if 0 < self._most[kind] <= self._now[kind] and not is_master:
            raise Busy
        self._now[kind] += 1

        def leave() -> None:
            self._now[kind] -= 1

        return leave
