"""A server's TLS context that follows its files: who replaces a certificate needs no restart."""

from __future__ import annotations

import logging
import os
import ssl

from component_base.rpc import ServerTls

log = logging.getLogger(__name__)


def server_context(tls: ServerTls) -> ssl.SSLContext:
    """Raises OSError (ssl.SSLError is one) for files that do not fit."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    restrict(context, tls)
    context.load_cert_chain(tls.certificate_file, tls.key_file)
    context.set_alpn_protocols(["h2", "http/1.1"])
    if tls.client_ca_file is not None:
        context.load_verify_locations(tls.client_ca_file)
        context.verify_mode = ssl.CERT_REQUIRED if tls.require_client_certificate else ssl.CERT_OPTIONAL
    return context


def restrict(context: ssl.SSLContext, tls: ServerTls) -> None:
    """To the versions and ciphers that are wanted. Raises ssl.SSLError if none of the ciphers is known."""
    context.minimum_version = tls.least
    context.maximum_version = tls.most
    if tls.ciphers:
        context.set_ciphers(":".join(tls.ciphers))


class FollowingContext:
    """`refresh` before each handshake; connections that exist keep what they began with."""

    def __init__(self, tls: ServerTls) -> None:
        self._tls = tls
        self._stamp = self._look()
        self.context = server_context(tls)

    def refresh(self) -> None:
        stamp = self._look()
        if stamp == self._stamp:
            return
        self._stamp = stamp
        tls = self._tls
        try:
            # A pair that does not fit must not harm the context in use.
            server_context(tls)
            self.context.load_cert_chain(tls.certificate_file, tls.key_file)
            if tls.client_ca_file is not None:
                self.context.load_verify_locations(tls.client_ca_file)
        except OSError as problem:
            log.warning("the new certificate in %s is not used: %s", tls.certificate_file, problem)
        else:
            log.info("the certificate was read again from %s", tls.certificate_file)

    def _look(self) -> list[tuple[int, int, int]]:
        files = (self._tls.certificate_file, self._tls.key_file, self._tls.client_ca_file)
        found = []
        for file in files:
            try:
                state = os.stat(file) if file is not None else None
            except OSError:
                state = None
            found.append((state.st_ino, state.st_mtime_ns, state.st_size) if state is not None else (0, 0, 0))
        return found
