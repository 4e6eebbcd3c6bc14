"""How much is audited, under upstream's metric names."""

from __future__ import annotations

from prometheus_client import Counter

EVENTS = Counter("apiserver_audit_event", "Events made and given to the backends")
LEVELS = Counter("apiserver_audit_level", "Requests by the level that the policy chose for them", ("level",))
ERRORS = Counter("apiserver_audit_error", "Events that a backend could not keep", ("plugin",))
REJECTED = Counter("apiserver_audit_requests_rejected", "Requests refused because they could not be audited")
