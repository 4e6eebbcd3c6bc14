"""The errors an API server answers with: HTTP status, machine-readable reason, a sentence, details.

Every constructor gives the code, the reason and the text that clients (kubectl, client-go, controllers) match on.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from apimachinery.fields import FieldError, aggregate, quote

_REASON_BY_CODE = {
    400: ("BadRequest", "the server rejected our request for an unknown reason"),
    401: ("Unauthorized", "the server has asked for the client to provide credentials"),
    404: ("NotFound", "the server could not find the requested resource"),
    405: ("MethodNotAllowed", "the server does not allow this method on the requested resource"),
    409: ("Conflict", "the server reported a conflict"),
    422: ("Invalid", "the server rejected our request due to an error in our request"),
    429: ("TooManyRequests", "the server has received too many requests and has asked us to try again later"),
    503: ("ServiceUnavailable", "the server is currently unable to handle the request"),
    504: (
        "Timeout",
        "the server was unable to return a response in the time allotted, but may still be processing the request",
    ),
}


class StatusError(Exception):
    """An answer other than success, on either side of the wire; `body()` is the `v1 Status` object sent."""

    def __init__(self, code: int, reason: str, message: str, details: dict[str, Any] | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.message = message
        self.details = details

    def body(self) -> dict[str, Any]:
        status: dict[str, Any] = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
        }
        if self.reason:
            status["reason"] = self.reason
        if self.details is not None:
            status["details"] = self.details
        status["code"] = self.code
        return status

    @property
    def retry_after(self) -> int:
        """Seconds for the `Retry-After` header, 0 for none."""
        return int((self.details or {}).get("retryAfterSeconds", 0))

    @property
    def causes(self) -> list[dict[str, str]]:
        return list((self.details or {}).get("causes", ()))

    def __repr__(self) -> str:
        return f"StatusError({self.code}, {self.reason!r}, {self.message!r})"


def qualified(name: str, group: str) -> str:
    """`deployments.apps`, or `pods` in the core group; also of kinds: `Deployment.apps`."""
    return f"{name}.{group}" if group else name


def _details(group: str, kind: str, name: str, **more: Any) -> dict[str, Any]:
    details: dict[str, Any] = {}
    if name:
        details["name"] = name
    if group:
        details["group"] = group
    if kind:
        details["kind"] = kind
    details.update((key, value) for key, value in more.items() if value)
    return details


def bad_request(message: str) -> StatusError:
    return StatusError(400, "BadRequest", message)


def not_found(plural: str, group: str, name: str) -> StatusError:
    message = f"{qualified(plural, group)} {quote(name)} not found"
    return StatusError(404, "NotFound", message, _details(group, plural, name))


def path_not_found() -> StatusError:
    """No such resource (not: no such object)."""
    return StatusError(404, "NotFound", _REASON_BY_CODE[404][1], {})


def already_exists(plural: str, group: str, name: str) -> StatusError:
    message = f"{qualified(plural, group)} {quote(name)} already exists"
    return StatusError(409, "AlreadyExists", message, _details(group, plural, name))


def generated_name_conflict(plural: str, group: str, name: str, retry_after: int = 1) -> StatusError:
    message = (
        f"{qualified(plural, group)} {quote(name)} already exists, "
        "the server was not able to generate a unique name for the object"
    )
    return StatusError(409, "AlreadyExists", message, _details(group, plural, name, retryAfterSeconds=retry_after))


def conflict(plural: str, group: str, name: str, cause: object) -> StatusError:
    message = f"Operation cannot be fulfilled on {qualified(plural, group)} {quote(name)}: {cause}"
    return StatusError(409, "Conflict", message, _details(group, plural, name))


MODIFIED = "the object has been modified; please apply your changes to the latest version and try again"


def modified(plural: str, group: str, name: str) -> StatusError:
    """The conflict of optimistic concurrency."""
    return conflict(plural, group, name, MODIFIED)


def apply_conflict(causes: Sequence[dict[str, str]], message: str) -> StatusError:
    return StatusError(409, "Conflict", message, {"causes": list(causes)})


def invalid(group: str, kind: str, name: str, errors: Iterable[FieldError]) -> StatusError:
    found = list(errors)
    message = f"{qualified(kind, group)} {quote(name)} is invalid"
    if found:
        message += f": {aggregate(found)}"
    details = _details(group, kind, name, causes=[error.cause() for error in found])
    return StatusError(422, "Invalid", message, details)


def forbidden(plural: str, group: str, name: str, cause: object) -> StatusError:
    if not plural and not group:
        message = f"forbidden: {cause}"
    elif not name:
        message = f"{qualified(plural, group)} is forbidden: {cause}"
    else:
        message = f"{qualified(plural, group)} {quote(name)} is forbidden: {cause}"
    return StatusError(403, "Forbidden", message, _details(group, plural, name))


def unauthorized(message: str = "Unauthorized") -> StatusError:
    return StatusError(401, "Unauthorized", message)


def method_not_allowed(plural: str = "", group: str = "", action: str = "") -> StatusError:
    """With a resource: `create is not supported on resources of kind "nodes"`; without: the general sentence."""
    if not plural:
        return StatusError(405, "MethodNotAllowed", _REASON_BY_CODE[405][1], {})
    message = f"{action} is not supported on resources of kind {quote(qualified(plural, group))}"
    return StatusError(405, "MethodNotAllowed", message, _details(group, plural, ""))


def expired(message: str) -> StatusError:
    """The resourceVersion or continue token is too old: the client must list again."""
    return StatusError(410, "Expired", message)


def gone(message: str) -> StatusError:
    return StatusError(410, "Gone", message)


def too_large(limit: int) -> StatusError:
    return StatusError(413, "RequestEntityTooLarge", f"Request entity too large: limit is {limit}")


def not_acceptable(supported: Sequence[str] = ()) -> StatusError:
    message = f"only the following media types are accepted: {', '.join(supported)}"
    return StatusError(406, "NotAcceptable", message)


def unsupported_media_type(supported: Sequence[str] = ()) -> StatusError:
    message = f"the body of the request was in an unknown format - accepted media types include: {', '.join(supported)}"
    return StatusError(415, "UnsupportedMediaType", message)


def too_many_requests(message: str, retry_after: int = 1) -> StatusError:
    return StatusError(429, "TooManyRequests", message, _details("", "", "", retryAfterSeconds=retry_after))


def internal(cause: object) -> StatusError:
    return StatusError(500, "InternalError", f"Internal error occurred: {cause}", {"causes": [{"message": str(cause)}]})


def timeout(message: str, retry_after: int = 0) -> StatusError:
    return StatusError(504, "Timeout", f"Timeout: {message}", _details("", "", "", retryAfterSeconds=retry_after))


def service_unavailable(message: str) -> StatusError:
    return StatusError(503, "ServiceUnavailable", message)


def from_body(code: int, body: object) -> StatusError:
    """What a client makes of an answer: the Status sent, or the general sentence for the code."""
    if isinstance(body, dict) and body.get("kind") == "Status" and body.get("status") != "Success":
        details = body.get("details")
        return StatusError(
            int(body.get("code") or code),
            str(body.get("reason") or ""),
            str(body.get("message") or ""),
            details if isinstance(details, dict) else None,
        )
    said = body if isinstance(body, str) else ""
    reason, message = _REASON_BY_CODE.get(code, ("", ""))
    if code == 403:
        reason, message = "Forbidden", said
    elif code == 406:
        reason = "NotAcceptable"
        message = said or "the server was unable to respond with a content type that the client supports"
    elif code == 415:
        reason, message = "UnsupportedMediaType", said
    elif not reason and code >= 500:
        reason = "InternalError"
        message = f"an error on the server ({quote(said)}) has prevented the request from succeeding"
    elif not reason:
        message = f"the server responded with the status code {code} but did not return more information"
    return StatusError(code, reason, message, {})
