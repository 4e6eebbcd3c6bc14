"""How a host becomes a worker: trust the cluster by the hash of its authority, then ask for identities with a token.

The order matters. Nothing secret is sent before the authority's key has the hash the user was given; after that every
connection is verified against this authority.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hmac
import re
import ssl
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import httpx
import yaml

from apimachinery.errors import StatusError
from component_base.clock import Clock
from component_base.pki import KeyPair, spki_hash, write_file, write_private
from kubeclient.kubeconfig import KubeConfig
from kubeclient.rest import RestClient
from kubelet.credentials.request import RequestRefused, Wish, obtain
from skiff.cluster import certificates
from skiff.cluster.addons import CLUSTER_INFO, CLUSTER_SETTINGS
from skiff.cluster.bootstrap_tokens import TOKEN
from skiff.cluster.layout import Layout
from skiff.cluster.settings import Settings, SettingsError, validate

CLIENT_SIGNER = "kubernetes.io/kube-apiserver-client"
#: kubeconfig file -> the user it is for; a worker's services besides the kubelet, which asks for its own.
AGENTS = {"kube-proxy.conf": "system:kube-proxy", "cluster-dns.conf": "system:cluster-dns"}
BOOTSTRAP = "bootstrap-kubelet.conf"
APPROVAL_SECONDS = 60.0
SERVING_PAUSE_SECONDS = 0.5
DEFAULT_PORT = 6443
_HASH = re.compile(r"sha256:[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Invitation:
    """What `skiff token create` printed."""

    server: str
    token: str
    ca_hash: str

    def __repr__(self) -> str:
        return f"Invitation({self.server!r})"


def invitation(server: str, token: str, ca_hash: str) -> Invitation:
    """Raises SettingsError naming the flag that cannot be right."""
    url = urlsplit(server if "//" in server else f"https://{server}")
    try:
        port = url.port or DEFAULT_PORT
    except ValueError as error:
        raise SettingsError(f"--server: {server!r}: {error}") from None
    if url.scheme != "https" or not url.hostname or url.path.strip("/") or url.query:
        raise SettingsError(f"--server: {server!r} is not of the form https://HOST:PORT")
    if not TOKEN.fullmatch(token):
        raise SettingsError("--token: not of the form abcdef.0123456789abcdef; `skiff token create` makes one")
    if not _HASH.fullmatch(ca_hash):
        raise SettingsError("--ca-hash: not of the form sha256:<64 hex digits>; `skiff token create` prints it")
    host = f"[{url.hostname}]" if ":" in url.hostname else url.hostname
    return Invitation(f"https://{host}:{port}", token, ca_hash)


async def discover(invited: Invitation, clock: Clock) -> bytes:
    """The PEM of the cluster's authority, whose key has the hash that was given. Raises SettingsError."""
    client = RestClient(KubeConfig(invited.server, insecure=True), "skiff", clock)
    try:
        found = await client.get(f"/api/v1/namespaces/kube-public/configmaps/{CLUSTER_INFO}")
    except StatusError as error:
        raise SettingsError(
            f"{invited.server} does not show its authority ({error.message}); `skiff up` there publishes it"
        ) from error
    except (httpx.TransportError, ValueError) as error:
        raise SettingsError(
            f"--server: no apiserver answers at {invited.server} ({error}); check address, port and firewall"
        ) from error
    finally:
        await client.close()
    return authority_of(found, invited)


def authority_of(config_map: dict[str, Any], invited: Invitation) -> bytes:
    try:
        document = yaml.safe_load(config_map["data"]["kubeconfig"])
        encoded = document["clusters"][0]["cluster"]["certificate-authority-data"]
        pem = base64.b64decode(encoded, validate=True)
        have = spki_hash(pem)
    except (KeyError, IndexError, TypeError, ValueError, binascii.Error, yaml.YAMLError) as error:
        raise SettingsError(f"what {invited.server} shows as cluster-info names no certificate authority") from error
    if not hmac.compare_digest(have, invited.ca_hash):
        raise SettingsError(
            f"--ca-hash: the authority of {invited.server} has the hash {have}, not {invited.ca_hash}: another cluster "
            "answers there, or somebody in between; nothing was sent to it"
        )
    return pem


async def learn(client: RestClient, invited: Invitation, node_name: str, node_ip: str) -> Settings:
    """The cluster's settings as this worker needs them, once the name is known to be free. Raises SettingsError."""
    try:
        found = await client.get(f"/api/v1/namespaces/kube-system/configmaps/{CLUSTER_SETTINGS}")
        taken = await _ready_node(client, node_name)
    except StatusError as error:
        raise SettingsError(_refused(error, invited)) from error
    except httpx.TransportError as error:
        raise SettingsError(_unverified(error, invited)) from error
    if taken:
        raise SettingsError(f"--node-name: a node {node_name} is in this cluster and Ready; choose another name")
    return worker_settings(found.get("data") or {}, invited.server, node_name, node_ip)


def worker_settings(data: dict[str, str], server: str, node_name: str, node_ip: str) -> Settings:
    try:
        return validate(
            Settings(
                node_name=node_name,
                node_ip=node_ip,
                role="worker",
                server=server,
                service_cidr=data["serviceCIDR"],
                pod_cidr=data["podCIDR"],
                node_cidr_mask=int(data["nodeCIDRMask"]),
                cluster_domain=data["clusterDomain"],
            )
        )
    except (KeyError, ValueError) as error:
        raise SettingsError(f"ConfigMap kube-system/{CLUSTER_SETTINGS} of {server} lacks {error}") from error


async def _ready_node(client: RestClient, name: str) -> bool:
    try:
        node = await client.get(f"/api/v1/nodes/{name}")
    except StatusError as error:
        if error.reason == "NotFound":
            return False
        raise
    conditions = (node.get("status") or {}).get("conditions") or ()
    return any(c.get("type") == "Ready" and c.get("status") == "True" for c in conditions)


def _refused(error: StatusError, invited: Invitation) -> str:
    if error.code == 401:
        return "--token: it is wrong or has expired; `skiff token create` on the control plane makes a new one"
    if error.code == 403:
        return f"--token: it does not allow joining ({error.message}); `skiff token create` makes one that does"
    return f"{invited.server} refused: {error.message}"


def _unverified(error: httpx.TransportError, invited: Invitation) -> str:
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, ssl.SSLCertVerificationError):
        cause = cause.__cause__ or cause.__context__
    if isinstance(cause, ssl.SSLCertVerificationError):
        host = urlsplit(invited.server).hostname
        return (
            f"--server: the certificate of {invited.server} does not hold for it ({cause.verify_message}); "
            f"`skiff up --apiserver-name {host}` on the control plane adds a name"
        )
    return f"--server: {invited.server} stopped answering: {error}"


async def obtain_agents(client: RestClient, server: str, ca: bytes, clock: Clock) -> dict[str, bytes]:
    """Kubeconfigs, by file name, of the proxy and the DNS of this node. Raises SettingsError."""
    made = {}
    for file, user in AGENTS.items():
        wish = Wish(CLIENT_SIGNER, user, organization="")
        try:
            pair: KeyPair = await obtain(client, clock, wish, APPROVAL_SECONDS)
        except (StatusError, RequestRefused, httpx.TransportError) as error:
            raise SettingsError(f"no certificate for {user}: {error}") from error
        made[file] = certificates.kubeconfig(server, ca, pair)
    return made


def write(layout: Layout, ca: bytes, agents: dict[str, bytes], bootstrap: bytes) -> None:
    """Everything a worker's services read, before they start."""
    write_file(layout.pki / "ca.crt", ca, 0o644)
    for file, content in agents.items():
        write_private(layout.kubeconfigs / file, content)
    write_private(layout.kubeconfigs / BOOTSTRAP, bootstrap)


async def renew_agents(settings: Settings, layout: Layout, clock: Clock, force: bool = False) -> list[str]:
    """New certificates for the agents of a node that joined long ago, asked for as the node itself.

    Raises SettingsError, and KubeConfigError where the node has lost its identity.
    """
    ca = (layout.pki / "ca.crt").read_bytes()
    days = {entry.name: entry.days for entry in certificates.expiries(layout, clock)}
    if not force and all(days.get(file, 0.0) > certificates.RENEW_DAYS for file in AGENTS):
        return []
    client = RestClient(KubeConfig.load(layout.kubeconfigs / "kubelet.conf"), "skiff", clock)
    try:
        made = await obtain_agents(client, settings.server, ca, clock)
    finally:
        await client.close()
    for file, content in made.items():
        write_private(layout.kubeconfigs / file, content)
    return sorted(made)


async def serves_verified(settings: Settings, layout: Layout, clock: Clock, seconds: float) -> bool:
    """Whether the kubelet came to serve with a certificate of the cluster's: before that, logs and exec are refused."""
    context = ssl.create_default_context(cafile=str(layout.pki / "ca.crt"))
    end = clock.monotonic() + seconds
    while clock.monotonic() < end:
        try:
            _, writer = await asyncio.wait_for(
                asyncio.open_connection(settings.node_ip, settings.ports.kubelet, ssl=context),
                SERVING_PAUSE_SECONDS * 4,
            )
            writer.close()
            return True
        except (OSError, TimeoutError):
            await clock.sleep(SERVING_PAUSE_SECONDS)
    return False
