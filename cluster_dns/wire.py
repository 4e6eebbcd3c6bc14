"""From a query's bytes to a response's bytes: the zone answers, dnspython reads and writes the format.

`respond` is pure apart from `rotation`, which turns the order of addresses so that clients that take the first one
spread over all endpoints. What is not ours is returned as None, for the forwarder.
"""

from __future__ import annotations

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import dns.rrset

from cluster_dns.zone import Record, Verdict, Zone

TTL_SECONDS = 5  # an endpoint that left must be forgotten soon; as CoreDNS's kubernetes plugin by default
UDP_SIZE = 1232  # safe from fragmentation (DNS flag day 2020)
MIN_UDP_SIZE = 512


class Malformed(Exception):
    """The bytes are no DNS query that could be answered at all."""


def parse(data: bytes) -> dns.message.Message:
    try:
        query = dns.message.from_wire(data, ignore_trailing=True)
    except (dns.exception.DNSException, ValueError, IndexError) as error:
        raise Malformed(str(error)) from error
    if query.flags & dns.flags.QR:
        raise Malformed("a response was sent to a server")
    return query


def respond(query: dns.message.Message, zone: Zone, rotation: int) -> dns.message.Message | None:
    """The authoritative answer; None: the name is outside the cluster's zones."""
    if query.opcode() != 0 or len(query.question) != 1:
        return failure(query, dns.rcode.NOTIMP if query.opcode() else dns.rcode.FORMERR)
    question = query.question[0]
    name = question.name.to_text().lower()
    answer = zone.lookup(name, dns.rdatatype.to_text(question.rdtype))
    if answer.verdict is Verdict.NOT_OURS:
        return None
    response = dns.message.make_response(query, recursion_available=True)
    response.flags |= dns.flags.AA
    if answer.verdict is Verdict.NXDOMAIN:
        response.set_rcode(dns.rcode.NXDOMAIN)
    turn = rotation % len(answer.records) if answer.records else 0
    add(response.answer, answer.records[turn:] + answer.records[:turn])
    add(response.additional, answer.extra)
    if not answer.records:
        response.authority.append(start_of_authority(zone))
    return response


def external_target(response: dns.message.Message, zone: Zone) -> dns.name.Name | None:
    """The name a CNAME answer points at, when the asker wanted something else and would have to follow."""
    asked = response.question[0].rdtype
    if asked == dns.rdatatype.CNAME or not response.answer:
        return None
    first = response.answer[-1]
    if first.rdtype != dns.rdatatype.CNAME:
        return None
    target: dns.name.Name = first[0].target
    return target


def add(section: list[dns.rrset.RRset], records: tuple[Record, ...]) -> None:
    groups: dict[tuple[str, str], list[str]] = {}
    for record in records:
        groups.setdefault((record.name, record.type), []).append(record.data)
    for (name, kind), data in groups.items():
        owner = dns.name.from_text(name)
        rdatatype = dns.rdatatype.from_text(kind)
        # RRset keeps the order of addition, so the rotation survives.
        rrset = dns.rrset.RRset(owner, dns.rdataclass.IN, rdatatype)
        for text in data:
            rrset.add(dns.rdata.from_text(dns.rdataclass.IN, rdatatype, text), TTL_SECONDS)
        section.append(rrset)


def start_of_authority(zone: Zone) -> dns.rrset.RRset:
    """Lets resolvers cache a negative answer for as long as a positive one."""
    text = f"ns.dns.{zone.domain}. hostmaster.{zone.domain}. 1 7200 1800 86400 {TTL_SECONDS}"
    return dns.rrset.from_text(zone.domain + ".", TTL_SECONDS, "IN", "SOA", text)


def failure(query: dns.message.Message, code: int) -> dns.message.Message:
    response = dns.message.make_response(query, recursion_available=True)
    response.set_rcode(dns.rcode.Rcode(code))
    return response


def to_datagram(response: dns.message.Message, query: dns.message.Message) -> bytes:
    """Wire format within what the asker's buffer takes; TC tells it to come back over TCP."""
    size = max(MIN_UDP_SIZE, min(query.payload or MIN_UDP_SIZE, UDP_SIZE)) if query.edns >= 0 else MIN_UDP_SIZE
    try:
        return response.to_wire(max_size=size)
    except dns.exception.TooBig:
        short = dns.message.make_response(query, recursion_available=True)
        short.flags |= dns.flags.TC | (response.flags & dns.flags.AA)
        return short.to_wire(max_size=size)
