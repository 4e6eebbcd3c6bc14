"""The flags of auditing, under upstream's names, and what they make."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import orjson

from apiserver.audit import policy
from apiserver.audit.backends import Backend, Batches, BatchOptions, LogBackend, Truncation, Webhook
from apiserver.audit.log_file import FORMATS, Keeping, RotatedFile, StandardOutput
from component_base.clock import Clock
from component_base.flags import Values


@dataclass(frozen=True, slots=True)
class Auditing:
    policy: policy.Policy
    backends: Sequence[Backend]

    async def close(self) -> None:
        for backend in self.backends:
            await backend.close()


def build(values: Values, clock: Clock) -> Auditing | None:
    """None: there is no policy, or nowhere to write. Raises ValueError or OSError that name the flag or file."""
    path = values["audit-policy-file"]
    for name in ("log", "webhook"):
        if values[f"audit-{name}-version"] != policy.VERSION:
            raise ValueError(f"--audit-{name}-version: invalid group version, allowed versions are {policy.VERSION}")
        if values[f"audit-{name}-truncate-max-batch-size"] < values[f"audit-{name}-truncate-max-event-size"]:
            raise ValueError(f"--audit-{name}-truncate-max-batch-size: it must not be less than the max event size")
    if not path or not (values["audit-log-path"] or values["audit-webhook-config-file"]):
        return None
    try:
        chosen = policy.load(Path(path).read_text())
    except ValueError as error:
        raise ValueError(f"--audit-policy-file: loading audit policy file: {error}: from file {path}") from None
    backends: list[Backend] = []
    if values["audit-log-path"]:
        backends.append(_log(values, clock))
    if values["audit-webhook-config-file"]:
        hook = Webhook(values["audit-webhook-config-file"], values["audit-webhook-initial-backoff"], clock)
        backends.append(
            Batches("webhook", hook.send, hook.close, orjson.dumps, *_batching(values, "webhook"), clock=clock)
        )
    return Auditing(chosen, tuple(backends))


def _log(values: Values, clock: Clock) -> Backend:
    path = values["audit-log-path"]
    size, age, backups = (values[f"audit-log-{name}"] for name in ("maxsize", "maxage", "maxbackup"))
    keeping = Keeping(size, age, backups, values["audit-log-compress"])
    file = StandardOutput() if path == "-" else RotatedFile(Path(path), keeping, clock)
    encode, mode = FORMATS[values["audit-log-format"]], values["audit-log-mode"]
    truncation, options = _batching(values, "log")
    backend = LogBackend(file, encode, truncation, mode == "blocking-strict")
    if mode != "batch":
        return backend
    return Batches("log", backend.send, backend.close, encode, truncation, options, clock)


def _batching(values: Values, name: str) -> tuple[Truncation | None, BatchOptions]:
    def of(option: str) -> float:
        number: float = values[f"audit-{name}-{option}"]
        return number

    truncation = None
    if values[f"audit-{name}-truncate-enabled"]:
        truncation = Truncation(int(of("truncate-max-event-size")), int(of("truncate-max-batch-size")))
    rate, burst = 0.0, 0
    if values[f"audit-{name}-batch-throttle-enable"]:
        rate, burst = of("batch-throttle-qps"), int(of("batch-throttle-burst"))
    sizes = int(of("batch-buffer-size")), int(of("batch-max-size"))
    return truncation, BatchOptions(*sizes, of("batch-max-wait"), rate, burst)
