"""An HTTPS server on loopback whose answers a test chooses: webhooks and extension servers for tests.

with HttpsServer(lambda request: Answer(200, {...}), dns=["w.ns.svc"]) as server: server.url, server.authority
"""

from __future__ import annotations

import json
import ssl
import tempfile
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self

from component_base.pki import CertificateAuthority, Usage

JSON = dict[str, Any]


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    connection: int
    """Which connection it came on: equal numbers, same connection."""

    @property
    def object(self) -> JSON:
        found: JSON = json.loads(self.body)
        return found


@dataclass(frozen=True)
class Answer:
    status: int = 200
    body: JSON | bytes = b""
    headers: dict[str, str] = field(default_factory=dict)


class HttpsServer:
    """`requests` holds everything that came; `release` lets answers go that wait for it."""

    def __init__(self, answer: Callable[[Request], Answer], dns: Sequence[str] = ()) -> None:
        self.requests: list[Request] = []
        authority = CertificateAuthority.create("test-webhooks")
        self.authority = authority.certificate_pem
        pair = authority.issue("server", dns=list(dns), ips=["127.0.0.1"], usages=Usage.SERVER)
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self.requests, answer))
        self._server.daemon_threads = True
        with tempfile.TemporaryDirectory() as folder:
            certificate, key = Path(folder) / "c", Path(folder) / "k"
            pair.write(certificate, key)
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate, key)
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True, do_handshake_on_connect=False)
        self.port: int = self._server.server_address[1]
        self.url = f"https://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def _handler(requests: list[Request], answer: Callable[[Request], Answer]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle(self) -> None:
            try:
                super().handle()
            except OSError:  # the client did not like the certificate, or went away
                self.close_connection = True

        def _do(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            headers = {name.lower(): value for name, value in self.headers.items()}
            request = Request(self.command, self.path, headers, body, self.client_address[1])
            requests.append(request)
            reply = answer(request)
            data = reply.body if isinstance(reply.body, bytes) else json.dumps(reply.body).encode()
            self.send_response(reply.status)
            for name, value in {"content-type": "application/json", **reply.headers}.items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _do

        def log_message(self, format: str, *args: object) -> None:
            del format, args

    return Handler
