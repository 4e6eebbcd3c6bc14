"""Rules of probes and lifecycle handlers."""

from __future__ import annotations

import re
from typing import Any

from apimachinery import names
from apimachinery.fields import FieldError, Path, forbidden, invalid, not_supported, required
from apimachinery.validation.metadata import non_negative

Obj = dict[str, Any]
Errors = list[FieldError]

_REAL_TIME = ("SIGRTMIN", *(f"SIGRTMIN+{n}" for n in range(1, 16)), *(f"SIGRTMAX-{n}" for n in range(14, 0, -1)))
_SIGNALS = (
    "ABRT ALRM BUS CHLD CLD CONT FPE HUP ILL INT IO IOT KILL PIPE POLL PROF PWR QUIT SEGV STKFLT STOP SYS TERM TRAP "
    "TSTP TTIN TTOU URG USR1 USR2 VTALRM WINCH XCPU XFSZ RTMAX"
)
LINUX_SIGNALS = frozenset(f"SIG{name}" for name in re.split(" ", _SIGNALS)) | frozenset(_REAL_TIME)
WINDOWS_SIGNALS = frozenset({"SIGKILL", "SIGTERM"})


def port(value: int | str | None, path: Path) -> Errors:
    """A port by number or name; absent is the number 0."""
    if isinstance(value, str):
        return [invalid(path, value, text) for text in names.port_name(value)]
    return [invalid(path, value or 0, text) for text in names.port_number(value or 0)]


def _exec(action: Obj, path: Path) -> Errors:
    return [] if action.get("command") else [required(path.child("command"))]


def _http_get(action: Obj, path: Path) -> Errors:
    found = [] if action.get("path") else [required(path.child("path"))]
    found += port(action.get("port"), path.child("port"))
    if action.get("scheme") not in {"HTTP", "HTTPS"}:
        found.append(not_supported(path.child("scheme"), action.get("scheme") or "", ("HTTP", "HTTPS")))
    for header in action.get("httpHeaders") or ():
        name = header.get("name") or ""
        found += [invalid(path.child("httpHeaders"), name, text) for text in names.http_header_name(name)]
    return found


def _handler(holder: Obj, kinds: tuple[str, ...], grace: int | None, path: Path) -> Errors:
    found: Errors = []
    given = [kind for kind in kinds if holder.get(kind) is not None]
    for kind in given[1:]:
        found.append(forbidden(path.child(kind), "may not specify more than 1 handler type"))
    if not given:
        return [required(path, "must specify a handler type")]
    kind, place = given[0], path.child(given[0])
    action = holder[kind]
    match kind:
        case "exec":
            first = _exec(action, place)
        case "httpGet":
            first = _http_get(action, place)
        case "sleep":
            seconds = action.get("seconds") or 0
            wrong = grace is not None and not 0 <= seconds <= grace
            detail = f"must be non-negative and less than terminationGracePeriodSeconds ({grace})"
            first = [invalid(place, seconds, detail)] if wrong else []
        case _:
            first = port(action.get("port"), place.child("port"))
    return first + found


def probe(container: Obj, field: str, path: Path) -> Errors:
    """The liveness, readiness or startup probe of a container, if it has one."""
    wanted = container.get(field)
    if wanted is None:
        return []
    place = path.child(field)
    found = _handler(wanted, ("exec", "httpGet", "tcpSocket", "grpc"), None, place)
    for one in ("initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold"):
        found += non_negative(wanted.get(one), place.child(one))
    grace = wanted.get("terminationGracePeriodSeconds")
    if grace is not None and grace <= 0:
        found.append(invalid(place.child("terminationGracePeriodSeconds"), grace, "must be greater than 0"))
    if field == "readinessProbe":
        if grace is not None:
            detail = "must not be set for readinessProbes"
            found.append(invalid(place.child("terminationGracePeriodSeconds"), grace, detail))
    elif wanted.get("successThreshold") != 1:
        found.append(invalid(place.child("successThreshold"), wanted.get("successThreshold") or 0, "must be 1"))
    return found


def lifecycle(container: Obj, grace: int | None, system: str | None, path: Path) -> Errors:
    """`system` is the pod's `spec.os.name`: stop signals differ by it."""
    wanted = container.get("lifecycle")
    if wanted is None:
        return []
    found: Errors = []
    place = path.child("lifecycle")
    for field in ("postStart", "preStop"):
        if wanted.get(field) is not None:
            kinds = ("exec", "httpGet", "tcpSocket", "sleep")
            found += _handler(wanted[field], kinds, grace, place.child(field))
    signal = wanted.get("stopSignal")
    if signal is not None:
        where = place.child("stopSignal")
        if system is None:
            found.append(forbidden(where, "may not be set for containers with empty `spec.os.name`"))
        known = {"linux": LINUX_SIGNALS, "windows": WINDOWS_SIGNALS}.get(system or "")
        if known is not None and signal not in known:
            found.append(not_supported(where, signal, sorted(known)))
    return found
