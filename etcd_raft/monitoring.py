"""/metrics, /health and their neighbours over plain HTTP/1.1, as etcd serves them on --listen-metrics-urls.

Small enough to be a few lines over asyncio's streams: GET only, one request a connection, a bounded head.
"""

from __future__ import annotations

import asyncio
import functools
import json
import resource
import ssl
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Protocol

from component_base.http2.certificates import restrict
from component_base.rpc import ServerTls
from etcd_raft.ports import NodeStatus, Refusal
from etcd_raft.server.maintenance import API_VERSION, STORAGE_VERSION
from etcd_raft.transport.addresses import Address

HEAD_SECONDS = 5.0
HEALTH_SECONDS = 5.0

TEXT = "text/plain; charset=utf-8"

Answer = tuple[int, str, bytes]
Check = Callable[[], Awaitable[str]]


class HealthSource(Protocol):
    @property
    def leader_id(self) -> int: ...
    async def read_index(self) -> None: ...
    def status(self) -> NodeStatus: ...


class Monitoring:
    def __init__(
        self,
        node: HealthSource,
        exposition: Callable[[], bytes],
        alarms: Callable[[], Sequence[str]] = lambda: (),
        checked: Callable[[bool], None] = lambda is_healthy: None,
    ) -> None:
        """`checked` is told the outcome of each /health."""
        self._node = node
        self._exposition = exposition
        self._alarms = alarms
        self._checked = checked
        self._servers: list[asyncio.Server] = []
        self._routes: dict[str, Callable[[str], Awaitable[Answer]]] = {
            "/metrics": self._metrics,
            "/health": self._health,
            "/version": self._version,
            "/debug/vars": self._variables,
        }
        self._install("/livez", {"serializable_read": self._local_read})
        self._install(
            "/readyz",
            {
                "data_corruption": self._uncorrupted,
                "serializable_read": self._local_read,
                "linearizable_read": self._confirmed_read,
                "non_learner": self._no_learner,
            },
        )

    async def start(self, address: Address, tls: ServerTls | None) -> None:
        """Raises OSError when the address is taken."""
        context = None
        if address.is_tls and tls is not None:
            context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            restrict(context, tls)
            context.load_cert_chain(tls.certificate_file, tls.key_file)
            if tls.client_ca_file is not None:
                context.load_verify_locations(tls.client_ca_file)
                context.verify_mode = ssl.CERT_REQUIRED
        server = await asyncio.start_server(self._serve, address.host, address.port, ssl=context, limit=16384)
        self._servers.append(server)

    def addresses(self) -> list[tuple[str, int]]:
        """Where it is served, also when the system chose the port."""
        return [(str(s.getsockname()[0]), int(s.getsockname()[1])) for server in self._servers for s in server.sockets]

    async def stop(self) -> None:
        for server in self._servers:
            server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), HEAD_SECONDS)
            status, kind, body = await self.answer(head)
            writer.write(
                f"HTTP/1.1 {status} {'OK' if status == 200 else 'Error'}\r\nContent-Type: {kind}\r\n"
                f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode()
                + (b"" if head.startswith(b"HEAD ") else body)
            )
            await writer.drain()
        except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass  # Whoever asked is gone, or does not speak HTTP.
        finally:
            writer.close()

    async def answer(self, head: bytes) -> Answer:
        """Also for the clients' port, where etcd answers the same paths."""
        method, _, rest = head.decode("latin-1").partition(" ")
        path, _, query = rest.partition(" ")[0].partition("?")
        route = self._routes.get(path)
        if route is None:
            return 404, TEXT, b"404 page not found\n"
        if method not in ("GET", "HEAD"):
            return 405, TEXT, b"Method Not Allowed\n"
        return await route(query)

    async def _metrics(self, query: str) -> Answer:
        return 200, "text/plain; version=0.0.4; charset=utf-8", self._exposition()

    async def _version(self, query: str) -> Answer:
        return _json(200, {"etcdserver": API_VERSION, "etcdcluster": STORAGE_VERSION, "storage": STORAGE_VERSION})

    async def _variables(self, query: str) -> Answer:
        """What etcd publishes there and is not about Go. The command line holds no secrets, only names of files."""
        status = self._node.status()
        leads = status.leader_id == status.member_id
        raft = {
            "id": f"{status.member_id:x}",
            "term": status.term,
            "commit": status.committed_index,
            "lead": f"{status.leader_id:x}",
            "raftState": "StateLeader" if leads else "StateFollower" if status.leader_id else "StateCandidate",
            "applied": status.applied_index,
        }
        limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        return _json(200, {"cmdline": sys.argv, "file_descriptor_limit": limit, "raft.status": raft})

    async def _health(self, query: str) -> Answer:
        reason = await self._problem(query)
        self._checked(not reason)
        return _json(503 if reason else 200, {"health": "false" if reason else "true", "reason": reason})

    async def _problem(self, query: str) -> str:
        """Empty if all is well, otherwise in etcd's words."""
        options = query.split("&")
        for alarm in self._alarms():
            if f"exclude={alarm}" not in options:
                return f"ALARM {alarm}"
        is_local = "serializable=true" in options
        if self._node.leader_id == 0 and not is_local:
            return "RAFT NO LEADER"
        problem = await (self._local_read() if is_local else self._confirmed_read())
        return f"RANGE ERROR:{problem}" if problem else ""

    # Checks: each is empty if it is passed, or says why not

    async def _local_read(self) -> str:
        return "etcdserver: server stopped" if self._node.status().has_failed else ""

    async def _confirmed_read(self) -> str:
        try:
            await asyncio.wait_for(self._node.read_index(), HEALTH_SECONDS)
        except (Refusal, TimeoutError) as problem:
            return str(problem) or "etcdserver: request timed out"
        return ""

    async def _uncorrupted(self) -> str:
        return "alarm activated: CORRUPT" if "CORRUPT" in self._alarms() else ""

    async def _no_learner(self) -> str:
        return "not supported for learner" if self._node.status().is_learner else ""

    def _install(self, path: str, checks: Mapping[str, Check]) -> None:
        """A page for all of them, less what `exclude` names, and one below it for each."""
        self._routes[path] = functools.partial(self._run, checks)
        for name, check in checks.items():
            self._routes[f"{path}/{name}"] = functools.partial(self._run, {name: check})

    async def _run(self, checks: Mapping[str, Check], query: str) -> Answer:
        options = query.split("&")
        told, status = "", 200
        for name, check in checks.items():
            if f"exclude={name}" in options:
                continue
            problem = await check()
            told += f"[-]{name} failed: {problem}\n" if problem else f"[+]{name} ok\n"
            status = 503 if problem else status
        if status != 200:
            return status, TEXT, f"{told}\n".encode()
        is_verbose = any(option.partition("=")[0] == "verbose" for option in options)
        return 200, TEXT, f"{told if is_verbose else ''}ok\n".encode()


def _json(status: int, content: Mapping[str, object]) -> Answer:
    """Without spaces, as scripts that look for a piece of it expect."""
    return status, "application/json", json.dumps(content, separators=(",", ":")).encode()
