"""What went wrong with a connection, in the words that clients of Kubernetes know from upstream's own."""

from __future__ import annotations

import errno
import os
import re
import ssl
from collections.abc import Iterator

#: OpenSSL's verification results.
_EXPIRED, _NOT_YET, _HOSTNAME, _ADDRESS = 10, 9, 62, 64
_X509 = "tls: failed to verify certificate: x509: "
_GO_ERRNO = {
    errno.ECONNREFUSED: "connection refused",
    errno.ECONNRESET: "connection reset by peer",
    errno.EHOSTUNREACH: "no route to host",
    errno.ENETUNREACH: "network is unreachable",
    errno.ETIMEDOUT: "connection timed out",
}
DEADLINE = "context deadline exceeded"


def chain(error: BaseException) -> Iterator[BaseException]:
    """The error, what caused it, and so on."""
    seen: BaseException | None = error
    while seen is not None:
        yield seen
        if isinstance(seen, BaseExceptionGroup):
            for one in seen.exceptions:
                yield from chain(one)
        seen = seen.__cause__ or seen.__context__


def describe(error: BaseException, authority: str, server_name: str) -> str:
    """Why nothing came back from `authority`, an address with its port."""
    causes = list(chain(error))
    for cause in causes:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return _certificate(cause, server_name)
        if isinstance(cause, ssl.SSLError):
            return f"tls: {cause.reason or cause}".lower().replace("_", " ")
    numbers = [cause.errno for cause in causes if isinstance(cause, OSError) and cause.errno]
    texts = " ".join(str(cause) for cause in causes)
    if match := re.search(r"\[Errno (\d+)\]", texts):
        numbers.append(int(match.group(1)))
    if re.search(r"getaddrinfo|Name or service not known|No address associated", texts):
        return f"dial tcp: lookup {authority.rpartition(':')[0].strip('[]')}: no such host"
    if not numbers and "All connection attempts failed" in texts:
        numbers.append(errno.ECONNREFUSED)
    for number in numbers:
        text = _GO_ERRNO.get(number, os.strerror(number).lower())
        return f"dial tcp {authority}: connect: {text}" if number != errno.ECONNRESET else f"read tcp: {text}"
    if "disconnected" in texts or "EndOfStream" in texts:
        return "EOF"
    return str(error) or type(error).__name__


def _certificate(error: ssl.SSLCertVerificationError, server_name: str) -> str:
    if error.verify_code in (_EXPIRED, _NOT_YET):
        return f"{_X509}certificate has expired or is not yet valid"
    if error.verify_code in (_HOSTNAME, _ADDRESS):
        return f"{_X509}certificate is not valid for {server_name}"
    return f"{_X509}certificate signed by unknown authority"
