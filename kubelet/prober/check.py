"""One probe, carried out: exec, httpGet, tcpSocket or grpc. Returns an outcome; only a broken runtime raises."""

import asyncio
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlsplit

from kubelet.cri.runtime import Containers, RuntimeFailure
from kubelet.pod import Container, GRPCAction, HTTPGetAction, Probe, TCPSocketAction

USER_AGENT = "kube-probe/1.36"
BODY_LIMIT = 10 * 1024


@dataclass(frozen=True, slots=True)
class Outcome:
    ok: bool
    output: str = ""


@dataclass(frozen=True, slots=True)
class Target:
    container_id: str
    container: Container
    pod_ip: str


async def check(probe: Probe, target: Target, runtime: Containers) -> Outcome:
    timeout = float(probe.timeout_seconds or 1)
    if probe.exec is not None:
        return await check_exec(runtime, target.container_id, probe.exec.command or [], timeout)
    if probe.http_get is not None:
        return await check_http(probe.http_get, target, timeout)
    if probe.tcp_socket is not None:
        return await check_tcp(probe.tcp_socket, target, timeout)
    if probe.grpc is not None:
        return await check_grpc(probe.grpc, target.pod_ip, timeout)
    return Outcome(True)


def resolve_port(port: int | str, container: Container) -> int:
    if isinstance(port, int):
        return port
    if port.isdigit():
        return int(port)
    for declared in container.ports or ():
        if declared.name == port:
            return declared.container_port
    raise ValueError(f"couldn't find port: {port!r} in container {container.name}")


async def check_exec(runtime: Containers, container_id: str, command: list[str], timeout: float) -> Outcome:
    try:
        result = await asyncio.wait_for(runtime.exec_sync(container_id, command, timeout), timeout + 5)
    except TimeoutError:
        return Outcome(False, f"command timed out: {' '.join(command)!r} timed out after {timeout:g}s")
    except RuntimeFailure as failure:
        if failure.code == "DEADLINE_EXCEEDED":
            return Outcome(False, f"command timed out: {' '.join(command)!r} timed out after {timeout:g}s")
        return Outcome(False, str(failure))
    text = (result.stdout + result.stderr)[:BODY_LIMIT].decode(errors="replace")
    return Outcome(result.exit_code == 0, text)


def _joined(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


async def check_tcp(action: TCPSocketAction, target: Target, timeout: float) -> Outcome:
    host = action.host or target.pod_ip
    try:
        port = resolve_port(action.port, target.container)
        async with asyncio.timeout(timeout):
            _, writer = await asyncio.open_connection(host, port)
    except TimeoutError:
        return Outcome(False, f"dial tcp {_joined(host, port)}: i/o timeout")
    except OSError as error:
        return Outcome(False, f"dial tcp {_joined(host, port)}: connect: {_reason(error)}")
    except ValueError as error:
        return Outcome(False, str(error))
    writer.close()
    return Outcome(True)


def _reason(error: OSError) -> str:
    text = (error.strerror or str(error)).lower()
    if "connect call failed" in text or isinstance(error, ConnectionRefusedError):
        return "connection refused"
    return text


async def check_http(action: HTTPGetAction, target: Target, timeout: float) -> Outcome:
    try:
        port = resolve_port(action.port, target.container)
    except ValueError as error:
        return Outcome(False, str(error))
    host = action.host or target.pod_ip
    headers = {h.name: h.value for h in action.http_headers or ()}
    return await http_get(action.scheme or "HTTP", host, port, action.path or "/", headers, timeout)


async def http_get(scheme: str, host: str, port: int, path: str, headers: Mapping[str, str], timeout: float) -> Outcome:
    path = path if path.startswith("/") else f"/{path}"
    url = f"{scheme.lower()}://{_joined(host, port)}{path}"
    try:
        async with asyncio.timeout(timeout):
            status, body = await _exchange(scheme.upper() == "HTTPS", host, port, path, headers)
    except TimeoutError:
        reason = "context deadline exceeded (Client.Timeout exceeded while awaiting headers)"
        return Outcome(False, f'Get "{url}": {reason}')
    except ssl.SSLError as error:
        return Outcome(False, f'Get "{url}": tls: {error.reason}')
    except OSError as error:
        return Outcome(False, f'Get "{url}": dial tcp {_joined(host, port)}: connect: {_reason(error)}')
    except (EOFError, ValueError):
        return Outcome(False, f'Get "{url}": malformed HTTP response')
    # Redirects count as an answer: the probed server is alive enough to send one.
    if 200 <= status < 400:
        return Outcome(True, body)
    return Outcome(False, f"HTTP probe failed with statuscode: {status}")


async def _exchange(tls: bool, host: str, port: int, path: str, headers: Mapping[str, str]) -> tuple[int, str]:
    context: ssl.SSLContext | None = None
    if tls:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    reader, writer = await asyncio.open_connection(host, port, ssl=context)
    try:
        parts = urlsplit(path)
        target = quote(parts.path, safe="/%:@!$&'()*+,;=~") + (f"?{parts.query}" if parts.query else "")
        merged = {"host": _joined(host, port), "user-agent": USER_AGENT, "accept": "*/*", "connection": "close"}
        for name, value in headers.items():
            if value or name.lower() not in ("user-agent", "accept"):
                merged[name.lower()] = value
            else:
                merged.pop(name.lower(), None)
        lines = [f"GET {target} HTTP/1.1", *(f"{name.title()}: {value}" for name, value in merged.items()), "", ""]
        writer.write("\r\n".join(lines).encode())
        await writer.drain()
        first = await reader.readline()
        words = first.split()
        if len(words) < 2 or not words[0].startswith(b"HTTP/"):
            raise ValueError("not HTTP")
        status = int(words[1])
        while (await reader.readline()).strip():
            continue
        body = await reader.read(BODY_LIMIT)
        return status, body.decode(errors="replace")
    finally:
        writer.close()


async def check_grpc(action: GRPCAction, host: str, timeout: float) -> Outcome:
    """grpc.health.v1: one string in, one enum out, so the messages are written and read by hand."""
    import grpc  # Few pods have such a probe, and it is large.
    import grpc.aio

    name = (action.service or "").encode()
    request = b"\x0a" + _varint(len(name)) + name if name else b""
    address = _joined(host, action.port)
    async with grpc.aio.insecure_channel(address, options=[("grpc.primary_user_agent", USER_AGENT)]) as channel:
        call: Any = channel.unary_unary("/grpc.health.v1.Health/Check")
        try:
            answer: bytes = await call(request, timeout=timeout)
        except grpc.aio.AioRpcError as error:
            code = error.code()
            if code == grpc.StatusCode.UNIMPLEMENTED:
                return Outcome(
                    False,
                    "this server does not implement the grpc health protocol (grpc.health.v1.Health): "
                    f"{error.details()}",
                )
            if code in (grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.UNAVAILABLE):
                return Outcome(
                    False, f'timeout: failed to connect service "{address}" within {timeout:g}s: {error.details()}'
                )
            return Outcome(False, f"error: health rpc probe failed: {error.details()}")
    status = answer[1] if len(answer) >= 2 and answer[0] == 0x08 else 0
    if status == 1:
        return Outcome(True, "service healthy")
    names = {0: "UNKNOWN", 2: "NOT_SERVING", 3: "SERVICE_UNKNOWN"}
    return Outcome(False, f'service unhealthy (responded with "{names.get(status, status)}")')


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)
