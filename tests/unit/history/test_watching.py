"""Each of the six promises of a watch, broken once: the checker must notice and name it."""

from __future__ import annotations

import pytest

from skiff_pb.etcd import kv_pb2, rpc_pb2
from tests.history.operations import Change, Chronicle, Violation, WatchRecord
from tests.history.watching import check

A, B, C = Change(b"a", b"1"), Change(b"b", b"1"), Change(b"c", b"1")
#: 2: a   3: b and c in one transaction   4: a again   5: a deleted
STORY = [[A], [B, C], [Change(b"a", b"2")], [Change(b"a", None)]]


@pytest.fixture
def chronicle() -> Chronicle:
    found = Chronicle()
    for number, changes in enumerate(STORY, start=2):
        found.tell("m", number, changes)
    return found


def created(revision: int = 1) -> rpc_pb2.WatchResponse:
    return rpc_pb2.WatchResponse(header=rpc_pb2.ResponseHeader(revision=revision), created=True)


def events(*rows: tuple[int, Change], fragment: bool = False, revision: int = 0) -> rpc_pb2.WatchResponse:
    header = rpc_pb2.ResponseHeader(revision=revision or max(at for at, _ in rows))
    response = rpc_pb2.WatchResponse(header=header, fragment=fragment)
    for at, change in rows:
        kind = kv_pb2.Event.DELETE if change.value is None else kv_pb2.Event.PUT
        response.events.add(type=kind, kv=kv_pb2.KeyValue(key=change.key, value=change.value or b"", mod_revision=at))
    return response


def notice(revision: int) -> rpc_pb2.WatchResponse:
    return rpc_pb2.WatchResponse(header=rpc_pb2.ResponseHeader(revision=revision))


def compacted(revision: int) -> rpc_pb2.WatchResponse:
    return rpc_pb2.WatchResponse(canceled=True, compact_revision=revision)


def record(*responses: rpc_pb2.WatchResponse, start: int = 0, live: bool = False, prev_kv: bool = False) -> WatchRecord:
    request = rpc_pb2.WatchCreateRequest(key=b"\0", range_end=b"\0", start_revision=start, prev_kv=prev_kv)
    return WatchRecord("c", request, list(responses), live)


E2, E3B, E3C, E4, E5 = (2, A), (3, B), (3, C), (4, STORY[2][0]), (5, STORY[3][0])


@pytest.mark.parametrize(
    "right",
    [
        record(created(), events(E2), events(E3B, E3C, E4), events(E5), live=True),
        record(created(), events(E2), notice(2), events(E3B, E3C)),
        record(created(3), events(E4, E5), notice(5), notice(5), live=True),
        record(created(5), events(E3B, fragment=True), events(E3C, fragment=True), events(E4), start=3),
        record(created(5), start=9, live=True),
        record(created(5), compacted(4), start=3),
        record(created(), events(E2)),
    ],
    ids=["all", "notice", "from now on", "fragments", "future", "compacted", "broken off"],
)
def test_right_streams_are_accepted(right: WatchRecord, chronicle: Chronicle) -> None:
    check([right], chronicle, [4])


@pytest.mark.parametrize(
    ("promise", "wrong"),
    [
        ("ordered", record(created(), events(E2), events(E4, E3B, E3C))),
        ("ordered", record(created(), events(E2), notice(4 - 2), notice(1))),
        ("unique", record(created(), events(E2), events(E2))),
        ("unique", record(created(), events(E2, E2))),
        ("reliable", record(created(), events(E2), events(E4))),
        ("reliable", record(created(), events(E2), events(E3B, E3C), live=True)),
        ("reliable", record(created(), events(E2), events(E3B), events(E4))),
        ("reliable", record(created(), events((2, Change(b"a", b"wrong"))))),
        ("atomic", record(created(), events(E2), events(E3B), events(E3C))),
        ("atomic", record(created(), events(E2), events(E3B, fragment=True), notice(3), events(E3C))),
        ("resumable", record(created(5), events(E4), start=3)),
        ("resumable", record(created(5), events(E3B, E3C), start=4)),
        ("resumable", record(created(5), compacted(4), start=4)),
        ("resumable", record(created(5), compacted(3), start=2)),
        ("reliable", record(created(), live=True)),
        ("bookmarkable", record(created(4), notice(5), events(E5))),
        ("bookmarkable", record(created(), events(E2), notice(3))),
        ("bookmarkable", record(created(), events(E2, revision=1))),
    ],
)
def test_each_broken_promise_is_noticed(promise: str, wrong: WatchRecord, chronicle: Chronicle) -> None:
    with pytest.raises(Violation, match=f"not {promise}"):
        check([wrong], chronicle, [4])


def test_previous_values_are_those_before_the_event(chronicle: Chronicle) -> None:
    response = events(E4)
    response.events[0].prev_kv.CopyFrom(
        kv_pb2.KeyValue(key=b"a", value=b"1", create_revision=2, mod_revision=2, version=1)
    )
    check([record(created(3), response, prev_kv=True)], chronicle)
    response.events[0].prev_kv.value = b"0"
    with pytest.raises(Violation, match="wrong previous value"):
        check([record(created(3), response, prev_kv=True)], chronicle)
    response.events[0].ClearField("prev_kv")
    with pytest.raises(Violation, match="lacks the previous value"):
        check([record(created(3), response, prev_kv=True)], chronicle)
    check([record(created(3), response, prev_kv=True)], chronicle, compactions=[4])
