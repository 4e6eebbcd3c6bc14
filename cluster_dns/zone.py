"""The cluster's zone as data: what a name means, without sockets or wire format.

Follows the Kubernetes DNS specification 1.1.0 (kubernetes/dns, docs/specification.md):

    SERVICE.NAMESPACE.svc.ZONE              A/AAAA of the Service or of headless endpoints; CNAME for ExternalName
    HOST.SERVICE.NAMESPACE.svc.ZONE         one endpoint of a headless Service, by hostname or by dashed address
    _PORT._PROTO.SERVICE.NAMESPACE.svc.ZONE SRV
    A-B-C-D.NAMESPACE.pod.ZONE              the address spelled in the name
    D.C.B.A.in-addr.arpa                    PTR back to the Service or endpoint

An empty answer for a name that exists (or lies above one that does) is NODATA, anything else below ZONE is NXDOMAIN:
resolvers walk their search list only on the latter's difference, so it matters to every pod.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import Enum
from ipaddress import ip_address

from cluster_dns import views

SPECIFICATION = "1.1.0"


@dataclass(frozen=True, slots=True, order=True)
class Record:
    """`data` is presentation format: an address, `target`, or `priority weight port target`."""

    name: str
    type: str
    data: str


class Verdict(Enum):
    FOUND = "found"
    NODATA = "no data"
    NXDOMAIN = "no such name"
    NOT_OURS = "not ours"


@dataclass(frozen=True, slots=True)
class Answer:
    verdict: Verdict
    records: tuple[Record, ...] = ()
    extra: tuple[Record, ...] = ()  # addresses of SRV targets


@dataclass(slots=True)
class Zone:
    """Mutable index of the watch: one writer feeds it, lookups read it. All names are lower case without last dot."""

    domain: str
    namespaces: set[str] = field(default_factory=set)
    services: dict[tuple[str, str], views.Service] = field(default_factory=dict)
    slices: dict[tuple[str, str], dict[str, views.EndpointSlice]] = field(default_factory=dict)
    pointers: dict[str, set[tuple[str, str]]] = field(default_factory=dict)  # address -> services that own it

    # -- the writer's side ------------------------------------------------------------------------------------------

    def set_namespace(self, name: str, present: bool) -> None:
        (self.namespaces.add if present else self.namespaces.discard)(name)

    def set_service(self, namespace: str, name: str, service: views.Service | None) -> None:
        key = (namespace, name)
        self._point(key, add=False)
        if service is None:
            self.services.pop(key, None)
        else:
            self.services[key] = service
        self._point(key, add=True)

    def set_slice(self, namespace: str, name: str, service: str, piece: views.EndpointSlice | None) -> None:
        """`service` is the owner by label; a slice whose label moved is set to None under its old owner first."""
        key = (namespace, service)
        self._point(key, add=False)
        group = self.slices.setdefault(key, {})
        if piece is None:
            group.pop(name, None)
        else:
            group[name] = piece
        if not group:
            del self.slices[key]
        self._point(key, add=True)

    def _point(self, key: tuple[str, str], add: bool) -> None:
        service = self.services.get(key)
        if service is None:
            return
        owned = addresses_of(service) if not is_headless(service) else [e.address for e in self.endpoints(key, service)]
        for address in owned:
            if add:
                self.pointers.setdefault(address, set()).add(key)
            elif address in self.pointers:
                self.pointers[address].discard(key)
                if not self.pointers[address]:
                    del self.pointers[address]

    # -- lookups ----------------------------------------------------------------------------------------------------

    def lookup(self, name: str, kind: str) -> Answer:
        name = name.lower().rstrip(".")
        if name.endswith((".in-addr.arpa", ".ip6.arpa")):
            return self._pointer(name, kind)
        if name != self.domain and not name.endswith("." + self.domain):
            return Answer(Verdict.NOT_OURS)
        labels = name[: -len(self.domain)].rstrip(".").split(".") if name != self.domain else []
        match labels:
            case [] | ["svc"] | ["pod"]:
                return Answer(Verdict.NODATA)
            case ["dns-version"]:
                return found(kind, [Record(name, "TXT", f'"{SPECIFICATION}"')])
            case [namespace, "svc" | "pod"]:
                return Answer(Verdict.NODATA if namespace in self.namespaces else Verdict.NXDOMAIN)
            case [address, namespace, "pod"]:
                return self._pod(name, address, namespace, kind)
            case [*inner, service, namespace, "svc"] if len(inner) <= 2:
                return self._service(name, inner, (namespace, service), kind)
        return Answer(Verdict.NXDOMAIN)

    def _service(self, name: str, inner: list[str], key: tuple[str, str], kind: str) -> Answer:
        service = self.services.get(key)
        if service is None:
            return Answer(Verdict.NXDOMAIN)
        base = self.service_name(key)
        if service.spec.type == "ExternalName":
            if inner:
                return Answer(Verdict.NXDOMAIN)
            return Answer(Verdict.FOUND, (Record(name, "CNAME", service.spec.externalName.rstrip(".") + "."),))
        endpoints = list(self.endpoints(key, service)) if is_headless(service) else []
        if not inner:
            addresses = [e.address for e in endpoints] if is_headless(service) else addresses_of(service)
            if is_headless(service) and not addresses:
                return Answer(Verdict.NXDOMAIN)
            records = [address_record(name, address) for address in dict.fromkeys(addresses)]
            return found(
                kind, records, self._srv(name, base, service, endpoints, None, None) if kind == "SRV" else None
            )
        if len(inner) == 2 and inner[0].startswith("_") and inner[1].startswith("_"):
            srv, extra = self._srv(name, base, service, endpoints, inner[0][1:], inner[1][1:])
            return found(kind, srv, (srv, extra)) if srv else Answer(Verdict.NXDOMAIN)
        if len(inner) == 1:
            records = [address_record(name, e.address) for e in endpoints if e.host == inner[0]]
            return found(kind, records) if records else Answer(Verdict.NXDOMAIN)
        return Answer(Verdict.NXDOMAIN)

    def _srv(
        self,
        name: str,
        base: str,
        service: views.Service,
        endpoints: list[Target],
        port: str | None,
        protocol: str | None,
    ) -> tuple[list[Record], list[Record]]:
        srv: dict[Record, None] = {}
        extra: dict[Record, None] = {}
        if is_headless(service):
            wanted = [
                (e, p)
                for e in endpoints
                for p in e.ports
                if (port in (None, p.name)) and (protocol in (None, p.protocol))
            ]
            for endpoint, target in wanted:
                host = f"{endpoint.host}.{base}"
                srv[Record(name, "SRV", f"0 {weight(len(endpoints))} {target.port} {host}.")] = None
                extra[address_record(host, endpoint.address)] = None
        else:
            for p in service.spec.ports:
                if port in (None, p.name) and protocol in (None, p.protocol.lower()):
                    srv[Record(name, "SRV", f"0 100 {p.port} {base}.")] = None
            for address in addresses_of(service) if srv else []:
                extra[address_record(base, address)] = None
        return list(srv), list(extra)

    def _pod(self, name: str, dashed: str, namespace: str, kind: str) -> Answer:
        if namespace not in self.namespaces:
            return Answer(Verdict.NXDOMAIN)
        for spelled in (dashed.replace("-", "."), dashed.replace("-", ":")):
            try:
                return found(kind, [address_record(name, str(ip_address(spelled)))])
            except ValueError:
                continue
        return Answer(Verdict.NXDOMAIN)

    def _pointer(self, name: str, kind: str) -> Answer:
        address = reverse_address(name)
        owners = sorted(self.pointers.get(address or "", ()))
        if not owners:
            return Answer(Verdict.NOT_OURS)
        records = []
        for key in owners:
            service = self.services[key]
            base = self.service_name(key)
            if not is_headless(service):
                records.append(Record(name, "PTR", base + "."))
            else:
                hosts = {e.host for e in self.endpoints(key, service) if e.address == address}
                records += [Record(name, "PTR", f"{host}.{base}.") for host in sorted(hosts)]
        return found(kind, records)

    def service_name(self, key: tuple[str, str]) -> str:
        return f"{key[1]}.{key[0]}.svc.{self.domain}"

    def endpoints(self, key: tuple[str, str], service: views.Service) -> Iterator[Target]:
        for piece in self.slices.get(key, {}).values():
            ports = tuple(
                TargetPort(p.name or "", (p.protocol or "TCP").lower(), p.port) for p in piece.ports or [] if p.port
            )
            for endpoint in piece.endpoints or []:
                if endpoint.conditions.ready is False and not service.spec.publishNotReadyAddresses:
                    continue
                for address in endpoint.addresses[:1]:
                    dashed = address.replace(".", "-").replace(":", "-")
                    yield Target(address, (endpoint.hostname or dashed).lower(), ports)


@dataclass(frozen=True, slots=True)
class TargetPort:
    name: str
    protocol: str
    port: int


@dataclass(frozen=True, slots=True)
class Target:
    address: str
    host: str
    ports: tuple[TargetPort, ...]


def is_headless(service: views.Service) -> bool:
    return service.spec.clusterIP == "None" or views.LABEL_HEADLESS in service.metadata.labels


def addresses_of(service: views.Service) -> list[str]:
    return [a for a in service.spec.clusterIPs or [service.spec.clusterIP] if a not in ("", "None")]


def address_record(name: str, address: str) -> Record:
    return Record(name, "AAAA" if ":" in address else "A", address)


def weight(endpoints: int) -> int:
    return max(1, 100 // max(1, endpoints))


def found(kind: str, records: Iterable[Record], srv: tuple[list[Record], list[Record]] | None = None) -> Answer:
    """Only the asked type; NODATA when the name has records of other types alone."""
    if kind == "SRV" and srv and srv[0]:
        return Answer(Verdict.FOUND, tuple(srv[0]), tuple(srv[1]))
    matching = tuple(r for r in records if kind in (r.type, "ANY"))
    return Answer(Verdict.FOUND if matching else Verdict.NODATA, matching)


def reverse_address(name: str) -> str | None:
    """The address that a name below in-addr.arpa or ip6.arpa spells, or None."""
    if name.endswith(".in-addr.arpa"):
        spelled = ".".join(reversed(name.removesuffix(".in-addr.arpa").split(".")))
    else:
        digits = "".join(reversed(name.removesuffix(".ip6.arpa").split(".")))
        spelled = ":".join(digits[n : n + 4] for n in range(0, len(digits), 4))
    try:
        return str(ip_address(spelled))
    except ValueError:
        return None
