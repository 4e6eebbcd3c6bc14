"""What names mean, after the Kubernetes DNS specification 1.1.0."""

from __future__ import annotations

import dns.flags
import dns.message
import dns.rcode
import pytest

from cluster_dns import views, wire
from cluster_dns.forward import resolvers_of
from cluster_dns.zone import Verdict, Zone

WEB = views.Service(
    views.Meta("web", "default"),
    views.ServiceSpec(
        clusterIP="10.96.0.5", ports=[views.ServicePort(80, "http"), views.ServicePort(53, "dns", "UDP")]
    ),
)
DB = views.Service(views.Meta("db", "default"), views.ServiceSpec(clusterIP="None"))
OUT = views.Service(views.Meta("out", "default"), views.ServiceSpec(type="ExternalName", externalName="example.org"))
READY = views.SliceEndpoint(["10.244.0.7"], hostname="db-0")
PLAIN = views.SliceEndpoint(["10.244.0.8"])
UNREADY = views.SliceEndpoint(["10.244.0.9"], views.Conditions(ready=False))


def piece(*endpoints: views.SliceEndpoint) -> views.EndpointSlice:
    return views.EndpointSlice(
        views.Meta("db-x", "default"), endpoints=list(endpoints), ports=[views.SlicePort("pg", "TCP", 5432)]
    )


@pytest.fixture
def zone() -> Zone:
    zone = Zone("cluster.local")
    zone.set_namespace("default", present=True)
    zone.set_service("default", "web", WEB)
    zone.set_service("default", "out", OUT)
    zone.set_slice("default", "db-x", "db", piece(READY, PLAIN, UNREADY))
    zone.set_service("default", "db", DB)
    return zone


@pytest.mark.parametrize(
    ("name", "kind", "expected"),
    [
        ("web.default.svc.cluster.local.", "A", ["10.96.0.5"]),
        ("WEB.Default.svc.cluster.LOCAL.", "A", ["10.96.0.5"]),
        ("db.default.svc.cluster.local.", "A", ["10.244.0.7", "10.244.0.8"]),
        ("db-0.db.default.svc.cluster.local.", "A", ["10.244.0.7"]),
        ("10-244-0-8.db.default.svc.cluster.local.", "A", ["10.244.0.8"]),
        ("10-244-3-4.default.pod.cluster.local.", "A", ["10.244.3.4"]),
        ("_http._tcp.web.default.svc.cluster.local.", "SRV", ["0 100 80 web.default.svc.cluster.local."]),
        (
            "_pg._tcp.db.default.svc.cluster.local.",
            "SRV",
            [
                "0 50 5432 db-0.db.default.svc.cluster.local.",
                "0 50 5432 10-244-0-8.db.default.svc.cluster.local.",
            ],
        ),
        ("out.default.svc.cluster.local.", "A", ["example.org."]),
        ("5.0.96.10.in-addr.arpa.", "PTR", ["web.default.svc.cluster.local."]),
        ("7.0.244.10.in-addr.arpa.", "PTR", ["db-0.db.default.svc.cluster.local."]),
        ("dns-version.cluster.local.", "TXT", ['"1.1.0"']),
    ],
)
def test_names_with_an_answer(zone: Zone, name: str, kind: str, expected: list[str]) -> None:
    answer = zone.lookup(name, kind)
    assert answer.verdict is Verdict.FOUND
    assert [record.data for record in answer.records] == expected


@pytest.mark.parametrize(
    ("name", "kind", "verdict"),
    [
        ("web.default.svc.cluster.local.", "AAAA", Verdict.NODATA),
        ("default.svc.cluster.local.", "A", Verdict.NODATA),
        ("cluster.local.", "A", Verdict.NODATA),
        ("nothing.default.svc.cluster.local.", "A", Verdict.NXDOMAIN),
        ("web.nowhere.svc.cluster.local.", "A", Verdict.NXDOMAIN),
        ("x.web.default.svc.cluster.local.", "A", Verdict.NXDOMAIN),
        ("_ssh._tcp.web.default.svc.cluster.local.", "SRV", Verdict.NXDOMAIN),
        ("not-an-address.default.pod.cluster.local.", "A", Verdict.NXDOMAIN),
        ("example.org.", "A", Verdict.NOT_OURS),
        ("notcluster.local.", "A", Verdict.NOT_OURS),
        ("9.0.244.10.in-addr.arpa.", "PTR", Verdict.NOT_OURS),
    ],
)
def test_names_without_an_answer(zone: Zone, name: str, kind: str, verdict: Verdict) -> None:
    assert zone.lookup(name, kind).verdict is verdict


def test_srv_brings_the_addresses_of_its_targets(zone: Zone) -> None:
    extra = zone.lookup("_pg._tcp.db.default.svc.cluster.local", "SRV").extra
    assert {record.data for record in extra} == {"10.244.0.7", "10.244.0.8"}


def test_unready_endpoints_are_published_on_request(zone: Zone) -> None:
    spec = views.ServiceSpec(clusterIP="None", publishNotReadyAddresses=True)
    zone.set_service("default", "db", views.Service(DB.metadata, spec))
    assert len(zone.lookup("db.default.svc.cluster.local", "A").records) == 3


def test_a_deleted_service_leaves_no_pointer_behind(zone: Zone) -> None:
    zone.set_service("default", "web", None)
    zone.set_slice("default", "db-x", "db", None)
    assert zone.pointers == {}
    assert zone.lookup("db.default.svc.cluster.local", "A").verdict is Verdict.NXDOMAIN


def test_answers_rotate_so_that_load_spreads(zone: Zone) -> None:
    query = dns.message.make_query("db.default.svc.cluster.local", "A")
    firsts = set()
    for rotation in (0, 1):
        response = wire.respond(query, zone, rotation)
        assert response is not None
        firsts.add(response.answer[0][0].to_text())
    assert firsts == {"10.244.0.7", "10.244.0.8"}


def test_a_negative_answer_is_authoritative_and_cacheable(zone: Zone) -> None:
    response = wire.respond(dns.message.make_query("no.default.svc.cluster.local", "A"), zone, 0)
    assert response is not None
    assert response.rcode() == dns.rcode.NXDOMAIN
    assert response.flags & dns.flags.AA
    assert response.authority[0].ttl == wire.TTL_SECONDS


def test_an_answer_too_long_for_a_datagram_is_truncated(zone: Zone) -> None:
    many = [views.SliceEndpoint([f"10.244.{n // 250}.{n % 250 + 1}"]) for n in range(600)]
    zone.set_slice("default", "db-x", "db", piece(*many))
    query = dns.message.make_query("db.default.svc.cluster.local", "A", use_edns=False)
    response = wire.respond(query, zone, 0)
    assert response is not None
    datagram = wire.to_datagram(response, query)
    assert len(datagram) <= 512
    assert dns.message.from_wire(datagram).flags & dns.flags.TC


@pytest.mark.parametrize("data", [b"", b"\0" * 3, b"\xff" * 40, bytes(12) + b"\xc0\x0c" * 9])
def test_malformed_questions_are_refused_without_an_accident(data: bytes, zone: Zone) -> None:
    try:
        query = wire.parse(data)
    except wire.Malformed:
        return
    assert wire.respond(query, zone, 0) is not None


def test_own_addresses_are_never_forwarded_to() -> None:
    text = "search x\nnameserver 10.96.0.10\nnameserver 192.0.2.1\nnameserver fe80::1%eth0\nnameserver\n"
    assert resolvers_of(text, own=["10.96.0.10"]) == ["192.0.2.1"]
