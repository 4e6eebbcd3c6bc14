"""Whatever is asked in whatever form, the answer is well-formed, comes, and blames the server for nothing.

`make fuzz SEED=… N=…` sends more of them; a failure prints the seed and the request.
"""

from __future__ import annotations

import http.client
import json
import os
import random
from pathlib import Path
from typing import Any

import pytest

from apimachinery.resources import RESOURCES
from tests.integration.apiserver.random_requests import NAMESPACES, Request, Requests
from tests.integration.cluster_parts import ApiServer, start_apiserver, start_store

SEED = int(os.environ.get("FUZZ_SEED") or 4)
COUNT = int(os.environ.get("FUZZ_N") or 400)
#: A revision that the store has not reached is waited for, then answered with 504, as upstream does.
RIGHTLY_500 = ("Too large resource version",)
HANG_SECONDS = 30.0


class Client:
    """One kept connection, reopened where an answer may go on."""

    def __init__(self, server: ApiServer) -> None:
        self._server = server
        self._port = int(server.url.rpartition(":")[2])
        self._tls = server.tls()
        self._connection: http.client.HTTPSConnection | None = None

    def send(self, request: Request) -> tuple[int, dict[str, str], bytes]:
        if self._connection is None:
            self._connection = http.client.HTTPSConnection(
                "127.0.0.1", self._port, timeout=HANG_SECONDS, context=self._tls
            )
        connection = self._connection
        connection.putrequest(request.method, request.path, skip_accept_encoding=True)
        for name, value in request.headers:
            connection.putheader(name, value)
        if request.body or request.method in ("POST", "PUT", "PATCH"):
            connection.putheader("Content-Length", str(len(request.body)))
        connection.endheaders(request.body)
        answer = connection.getresponse()
        streaming = answer.status == 200 and answer.getheader("content-length") is None and request.method != "HEAD"
        data = b"" if streaming else answer.read()
        if streaming or answer.will_close:
            self.close()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, data

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def complaint(request: Request, status: int, headers: dict[str, str], data: bytes) -> str:
    """What is wrong with an answer; empty if nothing is."""
    if status >= 500 and not any(text.encode() in data for text in RIGHTLY_500):
        return f"answered {status}"
    if "/api" not in request.path[:5] or request.method == "HEAD" or not data:
        return ""
    kind = headers.get("content-type", "").partition(";")[0]
    if status >= 400 and kind == "application/json":
        said = json.loads(data)
        if said.get("kind") != "Status" or said.get("code") != status or not said.get("message"):
            return f"{status} without a Status that says so"
    elif kind == "application/json":
        json.loads(data)
    return "" if "audit-id" in headers else "no audit-id"


def parsed(headers: dict[str, str], data: bytes) -> Any:
    return json.loads(data) if headers.get("content-type") == "application/json" and data else None


@pytest.mark.timeout(max(300, COUNT))
def test_no_request_makes_the_server_fail(tmp_path: Path) -> None:
    requests = Requests(random.Random(SEED))
    wrong: list[str] = []
    codes: dict[int, int] = {}
    with start_store(tmp_path) as store, start_apiserver(tmp_path, store.url) as server:
        client = Client(server)
        for namespace in NAMESPACES:
            made = json.dumps({"metadata": {"name": namespace}}).encode()
            client.send(Request("POST", "/api/v1/namespaces", (), made))
            account = json.dumps({"metadata": {"name": "default"}}).encode()
            client.send(Request("POST", f"/api/v1/namespaces/{namespace}/serviceaccounts", (), account))
        for number in range(COUNT):
            request = requests.next()
            try:
                status, headers, data = client.send(request)
                problem = complaint(request, status, headers, data)
            except (OSError, http.client.HTTPException, ValueError) as error:
                client.close()
                status, headers, data, problem = 0, {}, b"", f"{type(error).__name__}: {error}"
            codes[status] = codes.get(status, 0) + 1
            if problem:
                wrong.append(f"seed {SEED}, request {number}: {problem}\n{request}\n{data[:500]!r}")
            elif status in (200, 201):
                requests.saw(parsed(headers, data))
        left = after(client)
        client.close()
        log = server.text()
    print(f"seed {SEED}: {COUNT} requests, answers by code: {dict(sorted(codes.items()))}")
    assert not wrong, "\n\n".join(wrong[:20])
    assert not left, "\n".join(left)
    assert "Traceback" not in log, log[log.index("Traceback") - 300 :][:3000]
    assert {200, 201, 400, 404, 405, 409, 415, 422} <= set(codes), "the requests are not as mixed as they should be"


def after(client: Client) -> list[str]:
    """What cannot be read of all that the requests left behind, in each form it can be had in."""
    failed = []
    forms = ("json", "yaml", "vnd.kubernetes.protobuf", "json;as=Table;v=v1;g=meta.k8s.io")
    for info in RESOURCES:
        for form in forms if info.is_stored else ():
            status, _, data = client.send(Request("GET", info.path(), (("Accept", f"application/{form}"),)))
            if status != 200:
                failed.append(f"{info.path()} as {form}: {status} {data[:300]!r}")
    return failed
