"""Fair queueing of one priority level, on virtual time. Pure: time is an argument, nothing here waits.

Each flow is dealt a small hand of the level's queues by its hash (shuffle sharding), and a request joins the least
loaded of them: a flow that floods the level fills its own hand, and most other flows keep a queue that is free of it.
Queues take turns in virtual time: it advances as fast as one queue is served, and a queue's next turn comes after what
its last one has cost, counted in seats times seconds. How long a request will take is not known beforehand: a guess is
charged at its start and put right at its end.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from apiserver.flowcontrol.drops import Drops

#: Upstream's guess of how long a request takes.
GUESS_SECONDS = 0.003
QUEUE_FULL, CONCURRENCY_LIMIT, TIME_OUT = "queue-full", "concurrency-limit", "time-out"


@dataclass(frozen=True, slots=True)
class Shape:
    """How a level queues; without queues (0) what does not fit is refused."""

    queues: int = 0
    hand: int = 0
    length: int = 0


class Queue:
    """Requests waiting in line, and the virtual time of its next turn."""

    __slots__ = ("executing", "index", "next_turn", "seats_executing", "seats_waiting", "waiting")

    def __init__(self, index: int) -> None:
        self.index = index
        self.waiting: deque[Ticket] = deque()
        self.executing = 0
        self.seats_executing = 0
        self.seats_waiting = 0
        self.next_turn = 0.0


class Ticket:
    """One request's place. `start` is called when its turn has come; until then it may be given up."""

    __slots__ = ("arrived", "begun", "level", "queue", "seats", "start", "state")

    WAITING, EXECUTING, DONE = range(3)

    def __init__(self, level: Level, queue: Queue | None, seats: int, arrived: float) -> None:
        self.level = level
        self.queue = queue
        self.seats = seats
        self.arrived = arrived
        self.begun = 0.0
        self.state = self.WAITING
        self.start: Callable[[], None] | None = None


class Refused(Exception):
    """There is no room even for waiting; the text is the reason in upstream's metrics."""


class Level:
    """One priority level. `limit` None is an exempt one: it counts, and never lets anybody wait."""

    def __init__(self, name: str, uid: str, limit: int | None, shape: Shape = Shape()) -> None:
        self.name = name
        self.uid = uid
        self.limit = limit
        self.drops = Drops()
        self.executing = 0
        self.seats_executing = 0
        self.waiting = 0
        self.seats_waiting = 0
        self.demand = Demand()
        self._shape = shape
        self._queues = [Queue(index) for index in range(shape.queues)]
        self._lines: dict[int, Queue] = {}
        """Queues with anything waiting."""
        self._busy = 0
        """Queues with anything waiting or executing."""
        self._virtual = 0.0
        self._at = 0.0
        self._next = 0

    @property
    def shape(self) -> Shape:
        return self._shape

    def reshape(self, limit: int | None, shape: Shape, now: float) -> None:
        """New settings; those who wait keep their places. Queues that are not dealt any more run empty."""
        self._advance(now)
        self.limit = limit
        self._shape = shape
        for index in range(len(self._queues), shape.queues):
            self._queues.append(Queue(index))
        while len(self._queues) > shape.queues and not (self._queues[-1].waiting or self._queues[-1].executing):
            self._queues.pop()
        self.dispatch(now)

    # -- Requests

    def arrive(self, hand: tuple[int, ...], seats: int, now: float) -> Ticket:
        """A place; its state says whether the request may begin. Raises Refused."""
        if self.limit is None:
            ticket = Ticket(self, None, seats, now)
            self._begin(ticket, now)
            return ticket
        self._advance(now)
        if not hand:
            if not self._fits(seats):
                raise Refused(CONCURRENCY_LIMIT)
            ticket = Ticket(self, None, seats, now)
            self._begin(ticket, now)
            return ticket
        queue = self._choose(hand)
        if len(queue.waiting) >= self._shape.length and self.seats_executing >= self.limit:
            raise Refused(QUEUE_FULL)
        ticket = Ticket(self, queue, seats, now)
        self._activate(queue)
        if not self.waiting and self._fits(seats):
            self._charge(queue, seats)
            self._begin(ticket, now)
            return ticket
        queue.waiting.append(ticket)
        self._lines[queue.index] = queue
        queue.seats_waiting += seats
        self.waiting += 1
        self.seats_waiting += seats
        self.demand.note(now, self.seats_executing + self.seats_waiting)
        self.dispatch(now)
        return ticket

    def leave(self, ticket: Ticket, now: float) -> None:
        """The request is done, or is not waited for any longer. Saying so twice is fine."""
        if ticket.state == Ticket.DONE:
            return
        self._advance(now)
        if ticket.state == Ticket.EXECUTING:
            self._end(ticket, now)
        else:
            self._give_up(ticket)
        ticket.state = Ticket.DONE
        self.demand.note(now, self.seats_executing + self.seats_waiting)
        if self.waiting:
            self.dispatch(now)

    def _give_up(self, ticket: Ticket) -> None:
        queue = ticket.queue
        assert queue is not None
        queue.waiting.remove(ticket)
        if not queue.waiting:
            del self._lines[queue.index]
        queue.seats_waiting -= ticket.seats
        self.waiting -= 1
        self.seats_waiting -= ticket.seats
        self._calm(queue)

    def _end(self, ticket: Ticket, now: float) -> None:
        self.executing -= 1
        self.seats_executing -= ticket.seats
        queue = ticket.queue
        if queue is not None:
            queue.executing -= 1
            queue.seats_executing -= ticket.seats
            queue.next_turn -= (GUESS_SECONDS - (now - ticket.begun)) * ticket.seats
            self._calm(queue)

    # -- Turns

    def dispatch(self, now: float) -> None:
        """Lets begin who fits, in the order of virtual time."""
        while self.waiting:
            queue = self._turn()
            ticket = queue.waiting[0]
            if not self._fits(ticket.seats):
                return
            queue.waiting.popleft()
            if not queue.waiting:
                del self._lines[queue.index]
            queue.seats_waiting -= ticket.seats
            self.waiting -= 1
            self.seats_waiting -= ticket.seats
            self._next = queue.index + 1
            self._charge(queue, ticket.seats)
            self._begin(ticket, now)
            if ticket.start is not None:
                ticket.start()

    def _turn(self) -> Queue:
        """Whose request would be finished first; of equals the next one round."""
        count, after = len(self._queues), self._next

        def place(queue: Queue) -> tuple[float, int]:
            return queue.next_turn + GUESS_SECONDS * queue.waiting[0].seats, (queue.index - after) % count

        return min(self._lines.values(), key=place)

    def _begin(self, ticket: Ticket, now: float) -> None:
        ticket.state, ticket.begun = Ticket.EXECUTING, now
        self.executing += 1
        self.seats_executing += ticket.seats
        if ticket.queue is not None:
            ticket.queue.executing += 1
            ticket.queue.seats_executing += ticket.seats
        self.demand.note(now, self.seats_executing + self.seats_waiting)

    def _charge(self, queue: Queue, seats: int) -> None:
        queue.next_turn += GUESS_SECONDS * seats

    def _fits(self, seats: int) -> bool:
        """A request wider than the whole level runs alone: it would never run otherwise."""
        assert self.limit is not None
        if seats > self.limit:
            return self.seats_executing == 0
        return self.seats_executing + seats <= self.limit

    def _choose(self, hand: tuple[int, ...]) -> Queue:
        """The one with the least work, in seats, waiting and under way."""
        queues = self._queues
        best = queues[hand[0]]
        least = best.seats_waiting + best.seats_executing
        if least:
            for index in hand[1:]:
                queue = queues[index]
                load = queue.seats_waiting + queue.seats_executing
                if load < least:
                    best, least = queue, load
                    if not load:
                        break
        return best

    def _activate(self, queue: Queue) -> None:
        if not queue.executing and not queue.waiting:
            self._busy += 1
            queue.next_turn = self._virtual

    def _calm(self, queue: Queue) -> None:
        if not queue.executing and not queue.waiting:
            self._busy -= 1

    def _advance(self, now: float) -> None:
        """Virtual time: real time, times the seats that each busy queue gets."""
        if self._busy and self.limit is not None:
            wanted = self.seats_executing + self.seats_waiting
            self._virtual += (now - self._at) * min(wanted, self.limit) / self._busy
        self._at = now


class Demand:
    """How many seats were wanted over a while: the highest, the mean, and how much it varied."""

    __slots__ = ("_at", "_integral", "_since", "_squares", "_value", "highest")

    def __init__(self) -> None:
        self._at = self._since = 0.0
        self._value = 0
        self._integral = self._squares = 0.0
        self.highest = 0

    def note(self, now: float, value: int) -> None:
        elapsed = now - self._at
        if elapsed > 0:
            old = self._value
            self._integral += old * elapsed
            self._squares += old * old * elapsed
            self._at = now
        self._value = value
        if value > self.highest:
            self.highest = value

    def take(self, now: float) -> tuple[int, float, float]:
        """(highest, mean, deviation) since this was last asked."""
        self.note(now, self._value)
        seconds = now - self._since
        mean = self._integral / seconds if seconds > 0 else 0.0
        variance = self._squares / seconds - mean * mean if seconds > 0 else 0.0
        found = (self.highest, mean, max(variance, 0.0) ** 0.5)
        self._since, self._integral, self._squares, self.highest = now, 0.0, 0.0, self._value
        return found


def hand_of(schema: str, flow: str, shape: Shape) -> tuple[int, ...]:
    """The queues of a flow, all different, from its hash; always the same for the same flow and shape."""
    if not shape.queues:
        return ()
    value = int.from_bytes(hashlib.sha256(f"{schema}\0{flow}".encode()).digest()[:8], "little")
    deck = list(range(shape.queues))
    hand = []
    for _ in range(min(shape.hand, shape.queues)):
        value, position = divmod(value, len(deck))
        hand.append(deck.pop(position))
    return tuple(hand)
