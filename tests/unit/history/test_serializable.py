"""The checker of histories refuses wrong ones and accepts right ones; a search through all orders is its judge."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from skiff_pb.etcd import rpc_pb2
from tests.history.model import Model
from tests.history.operations import Change, Chronicle, Operation, Violation
from tests.history.serializable import check


def put(key: bytes, value: bytes, start: float, end: float | None, revision: int = 0, lease: int = 0) -> Operation:
    response = rpc_pb2.PutResponse(header=_header(revision)) if revision else None
    return Operation("c", rpc_pb2.PutRequest(key=key, value=value, lease=lease), start, end, response)


def get(key: bytes, row: tuple[bytes, int, int, int] | None, start: float, end: float, revision: int) -> Operation:
    """`row`: value, create, mod, version."""
    response = rpc_pb2.RangeResponse(header=_header(revision))
    if row is not None:
        response.kvs.add(key=key, value=row[0], create_revision=row[1], mod_revision=row[2], version=row[3])
        response.count = 1
    return Operation("c", rpc_pb2.RangeRequest(key=key), start, end, response)


def _header(revision: int) -> rpc_pb2.ResponseHeader:
    return rpc_pb2.ResponseHeader(revision=revision)


def told(*changes: Sequence[Change] | Change) -> Chronicle:
    chronicle = Chronicle()
    for number, change in enumerate(changes, start=2):
        chronicle.tell("m", number, [change] if isinstance(change, Change) else change)
    return chronicle


A1, A2 = Change(b"a", b"1"), Change(b"a", b"2")


def test_writes_and_reads_in_their_order_are_right() -> None:
    check(
        [
            put(b"a", b"1", 0, 1, 2),
            get(b"a", (b"1", 2, 2, 1), 2, 3, 2),
            put(b"a", b"2", 2.5, 6, 3),
            get(b"a", (b"1", 2, 2, 1), 3, 4, 2),
            get(b"a", (b"2", 2, 3, 2), 5, 7, 3),
        ],
        told(A1, A2),
    )


def test_a_write_whose_answer_was_lost_may_have_happened_or_not() -> None:
    check([put(b"a", b"1", 0, None), put(b"b", b"x", 0, None)], told(A1))


@pytest.mark.parametrize(
    ("operations", "chronicle", "complaint"),
    [
        ([put(b"a", b"1", 0, 1, 2)], told(), "never committed"),
        ([put(b"a", b"1", 0, 1, 2)], told(A2), "nobody can have written"),
        ([put(b"a", b"1", 0, 1, 2), put(b"a", b"1", 0, 1, 2)], told(A1), "answers two writes"),
        ([put(b"a", b"1", 0, 1, 2)], told(A1, A1), "nobody can have written revision 3"),
        ([put(b"a", b"1", 0, None)], told(A1, A1), "nobody can have written revision 3"),
        ([put(b"a", b"1", 0, 1, 2), get(b"a", None, 2, 3, 1)], told(A1), "before its call"),
        ([put(b"a", b"1", 0, 1, 2), get(b"a", (b"0", 2, 2, 1), 2, 3, 2)], told(A1), "instead of"),
        ([put(b"a", b"1", 0, 1, 3), put(b"a", b"2", 2, 3, 2)], told(A2, A1), "before its call"),
        ([put(b"a", b"1", 5, None), get(b"a", (b"1", 2, 2, 1), 0, 1, 2)], told(A1), "before its call"),
        ([put(b"a", b"1", 0, 1, 2, lease=7)], told(A1), "nobody can have written"),
    ],
    ids=[
        "acknowledged and lost",
        "another value",
        "one revision for two",
        "applied twice",
        "applied twice unanswered",
        "stale read",
        "wrong value",
        "writes against real time",
        "seen before it was asked for",
        "without its lease",
    ],
)
def test_wrong_histories_are_refused(operations: list[Operation], chronicle: Chronicle, complaint: str) -> None:
    with pytest.raises(Violation, match=complaint):
        check(operations, chronicle)


def test_a_transaction_that_took_the_wrong_branch_is_refused() -> None:
    compare = rpc_pb2.Compare(key=b"a", target=rpc_pb2.Compare.VERSION, version=0)
    success = [rpc_pb2.RequestOp(request_put=rpc_pb2.PutRequest(key=b"a", value=b"2"))]
    request = rpc_pb2.TxnRequest(compare=[compare], success=success)
    response = rpc_pb2.TxnResponse(header=_header(3), succeeded=True)
    response.responses.add().response_put.SetInParent()
    with pytest.raises(Violation, match="nobody can have written revision 3"):
        check([put(b"a", b"1", 0, 1, 2), Operation("c", request, 2, 3, response)], told(A1, A2))


def test_the_end_of_a_lease_takes_all_its_keys_and_needs_a_reason() -> None:
    first, second, gone = Change(b"a", b"1", 7), Change(b"b", b"1", 7), [Change(b"a", None), Change(b"b", None)]
    puts = [put(b"a", b"1", 0, 1, 2, lease=7), put(b"b", b"1", 2, 3, 3, lease=7)]
    check(puts, told(first, second, gone))
    with pytest.raises(Violation, match="in part only"):
        check(puts, told(first, second, gone[:1]))
    with pytest.raises(Violation, match="too early"):
        check(puts, told(first, second, gone), lambda revision, lease: f"lease {lease} too early")


def test_members_have_to_tell_the_same_story() -> None:
    chronicle = told(A1)
    with pytest.raises(Violation, match="m2 has another revision 2"):
        chronicle.tell("m2", 2, [A2])
    with pytest.raises(Violation, match="jumps to revision 4"):
        chronicle.tell("m2", 4, [A2])


# The judge: does any order of the operations, with real time respected, give these answers?


def some_order_explains(operations: Sequence[Operation], chronicle: Chronicle) -> bool:
    known = [o for o in operations if o.response is not None]
    unknown = [o for o in operations if o.response is None]
    return any(
        _explains(order, chronicle)
        for count in range(len(unknown) + 1)
        for chosen in itertools.combinations(unknown, count)
        for order in itertools.permutations([*known, *chosen])
    )


def _explains(order: Sequence[Operation], chronicle: Chronicle) -> bool:
    for earlier, later in itertools.combinations(order, 2):
        if later.end is not None and later.end < earlier.start:
            return False
    model = Model()
    for operation in order:
        expected, changes = model.try_out(operation.request)
        if changes:
            if not chronicle.is_told(model.revision + 1) or chronicle.at(model.revision + 1) != changes:
                return False
            model.advance(changes)
        if operation.response is None:
            continue
        if operation.response.header.revision != model.revision or not _same(operation.response, expected):
            return False
    return model.revision == chronicle.revision


def _same(response: Any, expected: Any) -> bool:
    copy = type(response)()
    copy.CopyFrom(response)
    copy.ClearField("header")
    return bool(copy == expected)


@st.composite
def histories(draw: st.DrawFn) -> tuple[list[Operation], Chronicle]:
    """A few operations executed in some order, with spans that are sometimes wrong and answers that sometimes lie."""
    model, chronicle, operations = Model(), Chronicle(), []
    for number in range(draw(st.integers(1, 4))):
        request: Any
        if draw(st.booleans()):
            request = rpc_pb2.PutRequest(key=draw(st.sampled_from([b"a", b"b"])), value=b"%d" % number)
        else:
            request = rpc_pb2.RangeRequest(key=draw(st.sampled_from([b"a", b"b"])))
        expected, changes = model.try_out(request)
        happens = draw(st.integers(0, 9)) > 0
        if changes and happens:
            model.advance(changes)
            chronicle.tell("m", model.revision, changes)
        start = float(max(0, number + draw(st.integers(-2, 2))))
        end = start + draw(st.integers(0, 3))
        if draw(st.integers(0, 4)) == 0:
            operations.append(Operation("c", request, start))
            continue
        expected.header.revision = max(1, model.revision + draw(st.sampled_from([0, 0, 0, 0, -1, 1])))
        operations.append(Operation("c", request, start, end, expected))
    return operations, chronicle


@settings(max_examples=300, deadline=None)
@given(histories())
def test_the_checker_agrees_with_a_search_through_all_orders(history: tuple[list[Operation], Chronicle]) -> None:
    operations, chronicle = history
    try:
        check(operations, chronicle)
        is_right = True
    except Violation:
        is_right = False
    assert is_right == some_order_explains(operations, chronicle)
