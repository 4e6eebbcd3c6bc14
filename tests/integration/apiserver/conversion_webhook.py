"""A conversion webhook: an HTTPS server in a thread, which moves `spec.cron` of v1 to `spec.schedule` of v2."""

from __future__ import annotations

import base64
import json
import ssl
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self

from component_base.pki import CertificateAuthority, Usage

JSON = dict[str, Any]


def convert(obj: JSON, api_version: str) -> JSON:
    spec = dict(obj["spec"])
    names = ("cron", "schedule") if api_version.endswith("/v2") else ("schedule", "cron")
    if names[0] in spec:
        spec[names[1]] = spec.pop(names[0])
    labels = {**(obj["metadata"].get("labels") or {}), "converted": "yes"}
    metadata = {**obj["metadata"], "labels": labels, "finalizers": ["ignored.example.com/x"]}
    return {**obj, "apiVersion": api_version, "spec": spec, "metadata": metadata}


class ConversionWebhook:
    """`refusal`, once set, is what it answers instead; `seen` are the reviews that it was sent."""

    def __init__(self, folder: Path) -> None:
        self.refusal = ""
        self.seen: list[JSON] = []
        authority = CertificateAuthority.create("webhook-authority")
        pair = authority.issue("webhook", dns=["localhost"], ips=["127.0.0.1"], usages=Usage.SERVER)
        authority.pair().write(folder / "hook-ca.crt", folder / "hook-ca.key")
        pair.write(folder / "hook.crt", folder / "hook.key")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(folder / "hook.crt", folder / "hook.key")
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})
        self.client_config = {
            "url": f"https://127.0.0.1:{self._server.server_port}/convert",
            "caBundle": base64.b64encode((folder / "hook-ca.crt").read_bytes()).decode(),
        }

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        hook = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                review = json.loads(self.rfile.read(int(self.headers["content-length"])))
                hook.seen.append(review)
                body = json.dumps(hook.answer(review)).encode()
                self.send_response(200)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        return Handler

    def answer(self, review: JSON) -> JSON:
        request = review["request"]
        response: JSON = {"uid": request["uid"]}
        if self.refusal:
            response["result"] = {"status": "Failure", "message": self.refusal}
        else:
            response["result"] = {"status": "Success"}
            response["convertedObjects"] = [convert(one, request["desiredAPIVersion"]) for one in request["objects"]]
        return {"kind": review["kind"], "apiVersion": review["apiVersion"], "response": response}

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
