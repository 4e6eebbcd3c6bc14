"""The flags alone: what they make (`options.py`) is loaded only where there is a policy."""

from __future__ import annotations

from component_base.flags import FlagSet

MODES = ("batch", "blocking", "blocking-strict")
MAX_EVENT_BYTES, MAX_BATCH_BYTES = 100 * 1024, 10 * 1024 * 1024


def declare(flags: FlagSet) -> None:
    flags.string("audit-policy-file", "", "YAML file that says what is audited; without one nothing is")
    flags.string("audit-log-path", "", "file to which audit events are written; -: standard output")
    flags.integer("audit-log-maxage", 366, "days for which old audit logs are kept; 0: without limit", minimum=0)
    flags.integer("audit-log-maxbackup", 100, "old audit logs that are kept; 0: without limit", minimum=0)
    flags.integer("audit-log-maxsize", 100, "megabytes of one audit log; 0: without limit", minimum=0)
    flags.boolean("audit-log-compress", False, "old audit logs are compressed with gzip")
    flags.choice("audit-log-format", "json", ("legacy", "json"), "form of audit events")
    _backend(flags, "log", "blocking", (10000, 1, 0, False, 0, 0))
    flags.string("audit-webhook-config-file", "", "kubeconfig of a server to which audit events are sent")
    flags.duration("audit-webhook-initial-backoff", 10, "how long before what it did not take is sent again")
    _backend(flags, "webhook", "batch", (10000, 400, 30, True, 10, 15))


def _backend(flags: FlagSet, name: str, mode: str, batches: tuple[int, int, float, bool, float, int]) -> None:
    """`batches`: how many events wait, how many go together and after how long, and how many batches a second."""
    waiting, together, seconds, throttled, rate, burst = batches
    modes, why = (MODES, "") if name == "log" else (("batch",), "; requests never wait for it")
    flags.choice(f"audit-{name}-mode", mode, modes, f"whether requests wait until their event is kept{why}")
    flags.string(f"audit-{name}-version", "audit.k8s.io/v1", "version of audit events")
    flags.integer(f"audit-{name}-batch-buffer-size", waiting, "events that wait in mode batch, at most", minimum=1)
    flags.integer(f"audit-{name}-batch-max-size", together, "events of a batch, at most", minimum=1)
    flags.duration(f"audit-{name}-batch-max-wait", seconds, "how long a batch waits until it is full")
    flags.boolean(f"audit-{name}-batch-throttle-enable", throttled, "batches are limited in their number")
    flags.number(f"audit-{name}-batch-throttle-qps", rate, "batches a second, on the average")
    flags.integer(f"audit-{name}-batch-throttle-burst", burst, "batches at once after a silence", minimum=0)
    flags.boolean(f"audit-{name}-truncate-enabled", False, "events that are too large lose their bodies")
    event, batch = "bytes of an event, at most; larger ones lose their bodies", "bytes of a batch, at most"
    flags.integer(f"audit-{name}-truncate-max-event-size", MAX_EVENT_BYTES, event, minimum=1)
    flags.integer(f"audit-{name}-truncate-max-batch-size", MAX_BATCH_BYTES, batch, minimum=1)
