"""An HTTPS server on loopback whose answers a test chooses: webhooks and extension servers for tests.

with HttpsServer(lambda request: Answer(200, {...}), dns=["w.ns.svc"]) as server: server.url, server.authority
"""

from __future__ import annotations

import json
import ssl
import tempfile
import threading
from collections.abc import Callable, Iterable, Sequence
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
    """With `pieces` the body is sent as chunks, each when the iterator gives it."""

    status: int = 200
    body: JSON | bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    pieces: Iterable[bytes] | None = None


class HttpsServer:
    """`requests` holds everything that came, `ended` the numbers of connections that are closed."""

    def __init__(self, answer: Callable[[Request], Answer], dns: Sequence[str] = ()) -> None:
        self.requests: list[Request] = []
        self.ended: list[int] = []
        authority = CertificateAuthority.create("test-webhooks")
        self.authority = authority.certificate_pem
        pair = authority.issue("server", dns=list(dns), ips=["127.0.0.1"], usages=Usage.SERVER)
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self.requests, self.ended, answer))
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


def _handler(
    requests: list[Request], ended: list[int], answer: Callable[[Request], Answer]
) -> type[BaseHTTPRequestHandler]:
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
            if "upgrade" in headers:
                self._echo(headers["upgrade"])
                return
            reply = answer(request)
            if reply.pieces is not None:
                self._stream(reply)
                return
            data = reply.body if isinstance(reply.body, bytes) else json.dumps(reply.body).encode()
            self.send_response(reply.status)
            for name, value in {"content-type": "application/json", **reply.headers}.items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def _stream(self, reply: Answer) -> None:
            self.send_response(reply.status)
            self.send_header("content-type", "application/json")
            self.send_header("transfer-encoding", "chunked")
            self.end_headers()
            for piece in reply.pieces or ():
                self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece))
            self.wfile.write(b"0\r\n\r\n")

        def finish(self) -> None:
            super().finish()
            ended.append(self.client_address[1])

        def _echo(self, protocol: str) -> None:
            """Upgraded connections get back what they send, line by line."""
            self.send_response(101)
            self.send_header("connection", "Upgrade")
            self.send_header("upgrade", protocol)
            self.end_headers()
            while line := self.rfile.readline():
                self.wfile.write(line)
            self.close_connection = True

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _do

        def log_message(self, format: str, *args: object) -> None:
            del format, args

    return Handler
