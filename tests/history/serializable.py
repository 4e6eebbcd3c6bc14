"""Is a history strictly serializable? Decided from the revisions that every answer carries.

etcd's answers name the revision at which they were given, and revisions are the order of everything. So nothing has to
be searched for: the order that the store claims is the only candidate. It is right if

- every answer is what the dumb model answers at that revision, a write being the change that made the revision;
- no revision has two writers, and none that nobody can have written (a client, whether it got an answer or not, or a
  lease that came to its end);
- it respects real time: who was answered before somebody else called, has the lower revision.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from skiff_pb.etcd import rpc_pb2
from tests.history.model import Model
from tests.history.operations import Change, Chronicle, Operation, Violation

Explainer = Callable[[int, int], str]
"""Given the revision and the lease that ended by it without a client's wish: what is wrong with that, or nothing."""


def check(operations: Iterable[Operation], chronicle: Chronicle, lease_ended: Explainer = lambda at, lease: "") -> None:
    """Raises Violation."""
    _Check(list(operations), chronicle, lease_ended).run()


class _Check:
    def __init__(self, operations: Sequence[Operation], chronicle: Chronicle, lease_ended: Explainer) -> None:
        self._chronicle = chronicle
        self._lease_ended = lease_ended
        self._answered: dict[int, list[Operation]] = defaultdict(list)
        self._in_the_past: dict[int, list[Operation]] = defaultdict(list)
        self._unknown = sorted((o for o in operations if o.response is None), key=lambda o: o.start)
        self._placed: list[tuple[Operation, int, bool]] = []
        for operation in operations:
            if operation.response is not None:
                revision = operation.response.header.revision
                if revision > chronicle.revision:
                    raise Violation(f"revision {revision} was never committed: {operation}")
                self._answered[revision].append(operation)

    def run(self) -> None:
        model = Model()
        self._read_all(model)
        while model.revision < self._chronicle.revision:
            self._next(model)
        self._check_real_time()

    def _next(self, model: Model) -> None:
        revision = model.revision + 1
        changes = self._chronicle.at(revision)
        writer: Operation | None = None
        for operation in self._answered[revision]:
            if not self._is_writer(model, operation, changes):
                continue
            if writer is not None:
                raise Violation(f"revision {revision} answers two writes: {writer} and {operation}")
            writer = operation
            self._placed.append((operation, revision, True))
        if writer is not None:
            self._answered[revision].remove(writer)
        else:
            self._explain(model, revision, changes)
        model.advance(changes)
        self._read_all(model)

    def _is_writer(self, model: Model, operation: Operation, changes: tuple[Change, ...]) -> bool:
        if isinstance(operation.request, rpc_pb2.RangeRequest):
            return False
        expected, made = model.try_out(operation.request)
        return made == changes and expected == _body(operation.response)

    def _explain(self, model: Model, revision: int, changes: tuple[Change, ...]) -> None:
        for operation in self._unknown:
            if operation.start > self._chronicle.told_at(revision):
                break
            if isinstance(operation.request, rpc_pb2.RangeRequest):
                continue
            if model.try_out(operation.request)[1] == changes:
                self._unknown.remove(operation)
                self._placed.append((operation, revision, True))
                return
        leases = {model.rows[change.key].lease for change in changes if change.key in model.rows}
        if len(leases) != 1 or any(change.value is not None for change in changes):
            raise Violation(f"nobody can have written revision {revision}: {changes}")
        lease = leases.pop()
        if not lease or model.try_out(rpc_pb2.LeaseRevokeRequest(ID=lease))[1] != changes:
            raise Violation(f"revision {revision} ends lease {lease} in part only: {changes}")
        if complaint := self._lease_ended(revision, lease):
            raise Violation(f"revision {revision} ends lease {lease}: {complaint}")

    def _read_all(self, model: Model) -> None:
        """Whoever was answered at this revision and did not write it, has seen this state."""
        for operation in self._answered.pop(model.revision, ()):
            wanted = getattr(operation.request, "revision", 0)
            if wanted and wanted < model.revision and isinstance(operation.request, rpc_pb2.RangeRequest):
                self._check_past(operation, wanted)
            else:
                self._check_read(model, operation)
            if not getattr(operation.request, "serializable", False):
                self._placed.append((operation, model.revision, False))

    def _check_read(self, model: Model, operation: Operation) -> None:
        expected, made = model.try_out(operation.request)
        if made:
            raise Violation(f"answered, but revision {model.revision} is not its doing: {operation}")
        if expected != _body(operation.response):
            raise Violation(f"{operation} answered {_body(operation.response)} instead of {expected}")

    def _check_past(self, operation: Operation, revision: int) -> None:
        past = Model()
        while past.revision < revision:
            past.advance(self._chronicle.at(past.revision + 1))
        self._check_read(past, operation)

    def _check_real_time(self) -> None:
        """Sweep over time with the highest revision that was answered so far."""
        ends = sorted(
            ((o.end, revision, o) for o, revision, _ in self._placed if o.end is not None), key=lambda item: item[0]
        )
        floor, position, witness = 0, 0, None
        for operation, revision, writes in sorted(self._placed, key=lambda item: item[0].start):
            while position < len(ends) and ends[position][0] < operation.start:
                if ends[position][1] > floor:
                    _, floor, witness = ends[position]
                position += 1
            if revision < floor + (1 if writes and floor else 0):
                raise Violation(f"{operation} took place at {revision}, but before its call there was {witness}")


def _body(response: Any) -> Any:
    """The answer without its headers, which are compared as revisions."""
    copy = type(response)()
    copy.CopyFrom(response)
    _strip(copy)
    return copy


def _strip(response: Any) -> None:
    response.ClearField("header")
    if isinstance(response, rpc_pb2.TxnResponse):
        for inner in response.responses:
            _strip(getattr(inner, inner.WhichOneof("response")))
