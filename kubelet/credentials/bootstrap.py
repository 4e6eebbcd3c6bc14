"""From a bootstrap token to an identity, and from an old certificate to a new one."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import httpx

from apimachinery.errors import StatusError
from component_base.clock import Clock
from component_base.pki import KeyPair
from component_base.rng import Rng
from kubeclient.kubeconfig import KubeConfig, KubeConfigError
from kubeclient.rest import RestClient
from kubelet.credentials import store
from kubelet.credentials.request import RequestRefused, Requests, client_wish, obtain, serving_wish
from kubelet.settings import Settings

log = logging.getLogger(__name__)
RETRY_SECONDS = 5.0


async def ensure_identity(settings: Settings, clock: Clock) -> KubeConfig:
    """The node's own kubeconfig, made with the bootstrap's when it is missing or its certificate has ended.

    Raises KubeConfigError. While the apiserver cannot be reached or nobody approves, it goes on asking.
    """
    pem = settings.cert_dir / store.CLIENT
    if settings.bootstrap_kubeconfig is None:
        return KubeConfig.load(settings.kubeconfig)
    if settings.kubeconfig.exists() and (
        pem not in _mentioned(settings.kubeconfig, pem) or store.read(pem, clock.now()) is not None
    ):
        return KubeConfig.load(settings.kubeconfig)
    bootstrap = KubeConfig.load(settings.bootstrap_kubeconfig)
    client = RestClient(bootstrap, "kubelet", clock)
    try:
        pair = await _until_obtained(client, clock, settings.hostname)
    finally:
        await client.close()
    await asyncio.to_thread(_keep, settings, bootstrap, pem, pair)
    return KubeConfig.load(settings.kubeconfig)


def _mentioned(kubeconfig: Path, pem: Path) -> tuple[Path, ...]:
    return (pem,) if str(pem) in kubeconfig.read_text() else ()


def _keep(settings: Settings, bootstrap: KubeConfig, pem: Path, pair: KeyPair) -> None:
    store.write(pem, pair)
    store.write_kubeconfig(settings.kubeconfig, bootstrap, pem, settings.cert_dir)


async def _until_obtained(client: Requests, clock: Clock, node: str) -> KeyPair:
    while True:
        try:
            return await obtain(client, clock, client_wish(node))
        except (StatusError, httpx.HTTPError, OSError, RequestRefused) as error:
            log.warning("no client certificate yet, asking again in %.0f s: %s", RETRY_SECONDS, error)
            await clock.sleep(RETRY_SECONDS)


async def rotate_client(
    settings: Settings, api: Requests, clock: Clock, rng: Rng, renewed: Callable[[KubeConfig], Awaitable[None]]
) -> None:
    """For ever, for a node that obtained its certificate itself: a new one before the old one ends."""
    pem = settings.cert_dir / store.CLIENT
    while (pair := await asyncio.to_thread(store.read, pem, clock.now())) is not None:
        await clock.sleep(store.renewal_time(pair, rng) - clock.now())
        fresh = await _until_obtained(api, clock, settings.hostname)
        await asyncio.to_thread(store.write, pem, fresh)
        try:
            await renewed(KubeConfig.load(settings.kubeconfig))
        except KubeConfigError as error:
            log.error("the renewed certificate cannot be used: %s", error)


class ServingCertificate:
    """Files for the HTTPS API: the flags' own, else one from the cluster's signer, else a self-signed one."""

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self.certificate = settings.tls_cert_file or settings.cert_dir / "kubelet.crt"
        self.key = settings.tls_key_file or settings.cert_dir / "kubelet.key"

    def prepare(self, ips: Sequence[str]) -> None:
        """There is a certificate afterwards. Blocking: run in a thread."""
        if self._settings.tls_cert_file is not None:
            return
        kept = store.read(self._settings.cert_dir / store.SERVER, self._clock.now())
        if self._settings.rotate_server_certificates and kept is not None and store.serves(kept, ips):
            kept.write(self.certificate, self.key)
            return
        if self._settings.rotate_server_certificates or not (self.certificate.exists() and self.key.exists()):
            store.self_signed(self._settings.hostname, ips, self._clock).write(self.certificate, self.key)

    async def rotate(self, api: Requests, rng: Rng, ips: Callable[[], Sequence[str]]) -> None:
        """For ever, where the cluster signs: the server reads the files again by itself."""
        if not self._settings.rotate_server_certificates or self._settings.tls_cert_file is not None:
            return
        path = self._settings.cert_dir / store.SERVER
        while True:
            kept = await asyncio.to_thread(store.read, path, self._clock.now())
            if kept is not None and store.serves(kept, ips()):
                await self._clock.sleep(store.renewal_time(kept, rng) - self._clock.now())
            try:
                pair = await obtain(api, self._clock, serving_wish(self._settings.hostname, ips()))
            except (StatusError, httpx.HTTPError, OSError, RequestRefused) as error:
                log.warning("no serving certificate yet, asking again: %s", error)
                await self._clock.sleep(RETRY_SECONDS * 6)
                continue
            await asyncio.to_thread(store.write, path, pair)
            await asyncio.to_thread(pair.write, self.certificate, self.key)
