"""The flags about kubelets, and all connectors together."""

from __future__ import annotations

from collections.abc import Mapping

from apiserver.ports import Authorizer, Connector, Objects
from apiserver.proxy import relays, streams
from apiserver.proxy.logs import Logs
from apiserver.proxy.relays import Relay
from apiserver.proxy.streams import Stream
from apiserver.proxy.target import Addressing, Locator
from apiserver.proxy.transport import KubeletFiles, Transport
from component_base.flags import FlagSet, Values
from component_base.rng import Rng, system_rng


def declare(flags: FlagSet) -> None:
    flags.string("kubelet-certificate-authority", "", "PEM authority of kubelets' serving certificates")
    flags.string("kubelet-client-certificate", "", "PEM certificate shown to kubelets")
    flags.string("kubelet-client-key", "", "its key")
    flags.port("kubelet-port", 10250, "port of kubelets whose Node tells none")
    types = ("Hostname", "InternalDNS", "InternalIP", "ExternalDNS", "ExternalIP")
    flags.strings("kubelet-preferred-address-types", types, "which of a node's addresses to use, in this order")


class Proxies:
    """`connectors` by (plural, subresource)."""

    def __init__(self, connectors: Mapping[tuple[str, str], Connector], transport: Transport) -> None:
        self.connectors = connectors
        self._transport = transport

    async def close(self) -> None:
        await self._transport.close()


def build(values: Values, objects: Objects, authorizer: Authorizer, rng: Rng | None = None) -> Proxies:
    """Raises FileNotFoundError, ssl.SSLError for kubelet files that are absent or do not fit together."""
    files = KubeletFiles(
        values["kubelet-client-certificate"], values["kubelet-client-key"], values["kubelet-certificate-authority"]
    )
    transport = Transport(files)
    addressing = Addressing(values["kubelet-preferred-address-types"], values["kubelet-port"])
    locator = Locator(objects, addressing, rng or system_rng())
    connectors: dict[tuple[str, str], Connector] = {
        ("pods", "log"): Logs(locator, transport),
        ("pods", "exec"): Stream(locator, transport, authorizer, streams.exec_path),
        ("pods", "attach"): Stream(locator, transport, authorizer, streams.attach_path),
        ("pods", "portforward"): Stream(locator, transport, authorizer, streams.port_forward_path),
        ("pods", "proxy"): Relay(locator, transport, relays.pod),
        ("services", "proxy"): Relay(locator, transport, relays.service),
        ("nodes", "proxy"): Relay(locator, transport, relays.node),
    }
    return Proxies(connectors, transport)
