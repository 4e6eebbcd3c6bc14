"""What is known of one request, and the `audit.k8s.io/v1` Events that are made of it.

Fields come in upstream's order. Bodies are kept as JSON text and put into an Event as they are.
"""

from __future__ import annotations

import contextlib
import ipaddress
from collections.abc import Callable, Mapping
from typing import Any

import orjson

from apimachinery import timestamps
from apiserver.audit.policy import LEVEL_NAMES, RECEIVED, VERSION, Decision, Level
from apiserver.ports import Attributes, User

JSON = dict[str, Any]
MAX_USER_AGENT = 1024
TRUNCATED = "...TRUNCATED"
#: Annotations that tell of an object's contents: as much as its body does.
PATCHES = "patch.webhook.admission.k8s.io/"
NO_STATUS: JSON = {"metadata": {}, "status": "Success", "message": "Connection closed early", "code": 200}
#: Takes an Event; False: it could not be kept. What the Event refers to may change afterwards.
Take = Callable[[JSON], bool]


class Record:
    """One request's. `user` is who proved to be there, None where that failed."""

    __slots__ = (
        "_answer",
        "_body",
        "_decision",
        "_known",
        "_now",
        "_received",
        "_reference",
        "_take",
        "annotations",
        "impersonated",
        "is_answered",
        "level",
        "status",
        "user",
    )

    def __init__(
        self,
        decision: Decision,
        user: User | None,
        known: JSON,
        asked: Attributes,
        now: Callable[[], float],
        take: Take,
    ) -> None:
        """`known` are the fields of the request's head, by `head_of`; `now` is the clock's."""
        self._decision = decision
        self.level = decision.level
        self._known = known
        self._reference = _reference(asked)
        self.user = user
        self._received = now()
        self._now = now
        self._take = take
        self.impersonated: User | None = None
        self.annotations: dict[str, str] = {}
        self.status: JSON | None = None
        """Of the answer: a Status without what it says of itself."""
        self.is_answered = False
        self._body: bytes = b""
        self._answer: bytes = b""

    # -- What is learnt on the way

    def note(self, key: str, value: str) -> None:
        """The first value of an annotation stays."""
        self.annotations.setdefault(key, value)

    def asked_object(self, obj: JSON) -> None:
        """The object in the request's body also names what it is about, where the URL does not."""
        metadata = obj.get("metadata") or {}
        if self._reference is not None:
            for field, name in _FROM_METADATA.items():
                if metadata.get(name) and not self._reference.get(field):
                    self._reference[field] = metadata[name]
        if self.level >= Level.REQUEST:
            self._body = orjson.dumps(_without_managed_fields(obj) if self._decision.omits_managed_fields else obj)

    def asked_patch(self, body: bytes) -> None:
        """What is no JSON is not written: it would not be a log of JSON any more."""
        if self.level >= Level.REQUEST:
            with contextlib.suppress(orjson.JSONDecodeError):
                self._body = orjson.dumps(orjson.loads(body))

    def answered_object(self, body: bytes) -> None:
        """JSON of what the answer holds."""
        if self.level < Level.REQUEST_RESPONSE:
            return
        if self._decision.omits_managed_fields and b'"managedFields"' in body:
            body = orjson.dumps(_without_managed_fields(orjson.loads(body)))
        elif b"\n" in body:  # between values: in texts it is escaped
            body = orjson.dumps(orjson.loads(body))
        self._answer = body

    def answered_status(self, status: JSON) -> None:
        kept = {name: status[name] for name in ("status", "message", "reason", "details", "code") if status.get(name)}
        self.status = {"metadata": {}, **kept}

    def answered_code(self, code: int) -> None:
        self.is_answered = True
        if self.status is None:
            self.status = {"metadata": {}}
        self.status["code"] = code

    @property
    def wants_answer(self) -> bool:
        """What the answer holds shall be written, and has not been seen."""
        return self.level is Level.REQUEST_RESPONSE and not self._answer

    # -- What is written

    def write(self, stage: str) -> bool:
        """False: the Event could not be kept."""
        if self.level is Level.NONE or stage in self._decision.omitted:
            return True
        return self._take(self._event(stage))

    def _event(self, stage: str) -> JSON:
        known = self._known
        event: JSON = {
            "kind": "Event",
            "apiVersion": VERSION,
            "level": LEVEL_NAMES[self.level],
            "auditID": known["auditID"],
            "stage": stage,
            "requestURI": known["requestURI"],
            "verb": known["verb"],
            "user": {} if self.user is None else user_of(self.user),
        }
        if self.impersonated is not None:
            event["impersonatedUser"] = user_of(self.impersonated)
        event |= {name: known[name] for name in ("sourceIPs", "userAgent") if known[name]}
        if self._reference is not None:
            event["objectRef"] = {name: value for name, value in self._reference.items() if value}
        if self.status is not None:
            event["responseStatus"] = self.status
        if self._body:
            event["requestObject"] = orjson.Fragment(self._body)
        if self._answer:
            event["responseObject"] = orjson.Fragment(self._answer)
        event["requestReceivedTimestamp"] = timestamps.format_micro(self._received)
        event["stageTimestamp"] = timestamps.format_micro(self._received if stage == RECEIVED else self._now())
        annotations = self.annotations
        if self.level < Level.REQUEST:
            annotations = {key: value for key, value in annotations.items() if not key.startswith(PATCHES)}
        if annotations:
            event["annotations"] = annotations
        return event


_FROM_METADATA = {"namespace": "namespace", "name": "name", "uid": "uid", "resourceVersion": "resourceVersion"}


def _reference(asked: Attributes) -> JSON | None:
    if not asked.resource:
        return None
    return {
        "resource": asked.resource,
        "namespace": asked.namespace,
        "name": asked.name,
        "uid": "",
        "apiGroup": asked.group,
        "apiVersion": asked.version,
        "resourceVersion": "",
        "subresource": asked.subresource,
    }


def head_of(audit_id: str, uri: str, verb: str, headers: Mapping[str, str], peer: str | None) -> JSON:
    """What an Event says of a request's head; `peer` is the address of the connection's other end."""
    agent = headers.get("user-agent", "")
    return {
        "auditID": audit_id,
        "requestURI": uri,
        "verb": verb,
        "sourceIPs": source_ips(headers, peer),
        "userAgent": agent[:MAX_USER_AGENT] + TRUNCATED if len(agent) > MAX_USER_AGENT else agent,
    }


def user_of(user: User) -> JSON:
    found: JSON = {"username": user.name}
    if user.uid:
        found["uid"] = user.uid
    if user.groups:
        found["groups"] = list(user.groups)
    if user.extra:
        found["extra"] = {key: list(values) for key, values in user.extra.items()}
    return found


def source_ips(headers: Mapping[str, str], peer: str | None) -> list[str]:
    """From the origin to the last proxy; all but the last are what clients say of themselves."""
    told = headers.get("x-forwarded-for", "").split("\n")[0].split(",")
    found = [address for one in told if (address := _address(one))]
    real = _address(headers.get("x-real-ip", "").split("\n")[0])
    if real and real not in found:
        found.append(real)
    last = _address(peer or "")
    if last and (not found or found[-1] != last):
        found.append(last)
    return found


def _address(text: str) -> str:
    try:
        return str(ipaddress.ip_address(text.strip()))
    except ValueError:
        return ""


def _without_managed_fields(obj: JSON) -> JSON:
    """Of an object, a list's items, or a Table's rows."""
    stripped = _stripped(obj)
    if isinstance(items := obj.get("items"), list):
        stripped["items"] = [_stripped(item) for item in items]
    if obj.get("kind") == "Table" and isinstance(rows := obj.get("rows"), list):
        stripped["rows"] = [{**row, "object": _stripped(row["object"])} if row.get("object") else row for row in rows]
    return stripped


def _stripped(obj: JSON) -> JSON:
    metadata = obj.get("metadata")
    if not isinstance(metadata, dict) or "managedFields" not in metadata:
        return dict(obj)
    return {**obj, "metadata": {name: value for name, value in metadata.items() if name != "managedFields"}}
