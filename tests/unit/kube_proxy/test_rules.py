"""Services and endpoints become the rules a reader of `nft list ruleset` expects, and changes cost what they change."""

from __future__ import annotations

from dataclasses import replace

import pytest

from kube_proxy import views
from kube_proxy.rules import base, ruleset, transaction
from kube_proxy.rules.endpoints import choose
from kube_proxy.rules.service_map import Endpoint, ServicePort, service_ports

NETWORK = base.Network("node-1", zone="a", cluster_cidr="10.244.0.0/16", pod_cidr="10.244.1.0/24")
HERE, THERE = Endpoint("10.244.1.2", 8080, is_local=True), Endpoint("10.244.2.2", 8080)
WEB = ServicePort("default", "web", "http", "tcp", 80, "10.96.0.5", endpoints=(HERE, THERE))


def text(*services: ServicePort) -> str:
    return transaction.replace(ruleset.build(services, NETWORK), NETWORK)


def test_cluster_address_leads_to_every_ready_endpoint() -> None:
    rules = ruleset.build([WEB], NETWORK)
    entry = rules.elements[base.SERVICE_IPS]["10.96.0.5 . tcp . 80"].removeprefix("goto ")
    assert rules.chains[entry][0] == "ip saddr != 10.244.0.0/16 jump mark-for-masquerade"
    service_chain = rules.chains[entry][1].removeprefix("goto ")
    assert "numgen random mod 2" in rules.chains[service_chain][0]
    assert "dnat to 10.244.1.2:8080" in text(WEB)
    assert "dnat to 10.244.2.2:8080" in text(WEB)


def test_service_without_endpoints_is_refused_and_not_translated() -> None:
    rules = ruleset.build([replace(WEB, endpoints=(), node_port=30080)], NETWORK)
    assert rules.elements[base.SERVICE_IPS] == {}
    assert rules.elements[base.NO_ENDPOINT_IPS] == {"10.96.0.5 . tcp . 80": "goto reject-chain"}
    assert rules.elements[base.NO_ENDPOINT_NODE_PORTS] == {"tcp . 30080": "goto reject-chain"}


def test_internal_policy_local_without_local_endpoint_drops() -> None:
    rules = ruleset.build([replace(WEB, internal_local=True, endpoints=(THERE,))], NETWORK)
    assert rules.elements[base.NO_ENDPOINT_IPS] == {"10.96.0.5 . tcp . 80": "drop"}


def test_external_policy_local_keeps_the_source_and_serves_pods_from_anywhere() -> None:
    service = replace(WEB, external_local=True, node_port=30080)
    rules = ruleset.build([service], NETWORK)
    entry = rules.elements[base.SERVICE_NODE_PORTS]["tcp . 30080"].removeprefix("goto ")
    assert rules.chains[entry][0].startswith("ip saddr 10.244.0.0/16 goto service-")
    assert rules.chains[entry][-1].startswith("goto local-")
    assert not any(rule == "jump mark-for-masquerade" for rule in rules.chains[entry])


def test_session_affinity_remembers_a_client_for_the_configured_time() -> None:
    written = text(replace(WEB, affinity_seconds=90))
    assert "timeout 90s" in written
    assert written.count("update @affinity-") == 2


def test_source_ranges_drop_other_clients_of_the_load_balancer_address() -> None:
    service = replace(WEB, load_balancer_ips=("203.0.113.9",), source_ranges=("198.51.100.0/24",))
    assert "saddr != { 198.51.100.0/24, 203.0.113.9 } drop" in text(service)


def test_unchanged_services_cost_no_transaction() -> None:
    rules = ruleset.build([WEB], NETWORK)
    assert transaction.update(rules, ruleset.build([WEB], NETWORK), NETWORK) == ""


def test_an_update_names_only_the_service_that_changed() -> None:
    others = [replace(WEB, name=f"other-{n}", cluster_ip=f"10.96.1.{n}") for n in range(200)]
    old = ruleset.build([WEB, *others], NETWORK)
    new = ruleset.build([replace(WEB, endpoints=(HERE,)), *others], NETWORK)
    change = transaction.update(old, new, NETWORK)
    assert "other-" not in change
    assert len(change.splitlines()) < 10


def test_a_changed_affinity_timeout_never_redefines_a_set() -> None:
    old = ruleset.build([replace(WEB, affinity_seconds=90)], NETWORK)
    change = transaction.update(old, ruleset.build([replace(WEB, affinity_seconds=60)], NETWORK), NETWORK)
    added = [line.split()[4] for line in change.splitlines() if line.startswith("add set")]
    deleted = [line.split()[4] for line in change.splitlines() if line.startswith("delete set")]
    assert len(added) == len(deleted) == 2
    assert not set(added) & set(deleted)


def test_names_stay_within_the_limit_of_nftables() -> None:
    rules = ruleset.build([replace(WEB, namespace="n" * 63, name="s" * 63, affinity_seconds=5)], NETWORK)
    assert max(map(len, [*rules.chains, *rules.sets])) <= 127


@pytest.mark.parametrize(
    ("endpoints", "expected"),
    [
        pytest.param([HERE, THERE], [HERE, THERE], id="ready endpoints"),
        pytest.param(
            [replace(HERE, ready=False, terminating=True)],
            [replace(HERE, ready=False, terminating=True)],
            id="terminating endpoints when nothing is ready",
        ),
        pytest.param([replace(HERE, ready=False, terminating=True), THERE], [THERE], id="ready before terminating"),
        pytest.param([replace(HERE, ready=False, serving=False)], [], id="nothing that does not serve"),
        pytest.param(
            [replace(HERE, zones=frozenset("a")), replace(THERE, zones=frozenset("b"))],
            [replace(HERE, zones=frozenset("a"))],
            id="own zone when all are hinted",
        ),
        pytest.param(
            [replace(HERE, zones=frozenset("a")), THERE],
            [replace(HERE, zones=frozenset("a")), THERE],
            id="every zone when one endpoint has no hint",
        ),
        pytest.param(
            [replace(HERE, nodes=frozenset({"node-1"})), replace(THERE, nodes=frozenset({"node-2"}))],
            [replace(HERE, nodes=frozenset({"node-1"}))],
            id="own node first",
        ),
    ],
)
def test_choice_of_endpoints(endpoints: list[Endpoint], expected: list[Endpoint]) -> None:
    chosen = choose(replace(WEB, endpoints=tuple(endpoints)), "node-1", "a").cluster
    assert list(chosen) == expected


def service(**spec: object) -> views.Service:
    fields = {"clusterIP": "10.96.0.5", "ports": [views.ServicePort(80, "http")]} | spec
    return views.Service(views.Meta("web", "default"), views.ServiceSpec(**fields))  # type: ignore[arg-type]


def piece(*addresses: str, port: int = 8080, name: str = "http", slice_name: str = "web-1") -> views.EndpointSlice:
    return views.EndpointSlice(
        views.Meta(slice_name, "default", labels={views.LABEL_SERVICE_NAME: "web"}),
        endpoints=[views.SliceEndpoint([a], nodeName="node-1") for a in addresses],
        ports=[views.SlicePort(name, "TCP", port)],
    )


def test_slices_of_a_service_are_joined_and_duplicates_counted_once() -> None:
    [flat] = service_ports([service()], [piece("10.0.0.1", "10.0.0.2"), piece("10.0.0.2", slice_name="b")], "node-1")
    assert [e.ip for e in flat.endpoints] == ["10.0.0.1", "10.0.0.2"]
    assert all(e.is_local for e in flat.endpoints)


@pytest.mark.parametrize(
    "absent",
    [
        service(clusterIP="None"),
        service(type="ExternalName", clusterIP=""),
        service(clusterIP=""),
        service(clusterIP="fd00::1"),
    ],
)
def test_services_the_proxy_must_leave_alone(absent: views.Service) -> None:
    assert service_ports([absent], [piece("10.0.0.1")], "node-1") == []


def test_node_port_is_served_only_for_types_that_expose_one() -> None:
    port = views.ServicePort(80, "http", nodePort=30080)
    [plain] = service_ports([service(ports=[port])], [], "node-1")
    [exposed] = service_ports([service(ports=[port], type="NodePort")], [], "node-1")
    assert (plain.node_port, exposed.node_port) == (0, 30080)
