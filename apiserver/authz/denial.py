"""The sentences in which a request is refused; clients and people match on them."""

from __future__ import annotations

from apimachinery.errors import StatusError
from apiserver.ports import Attributes

_HTML = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})


def quoted(text: str) -> str:
    """A Go string literal, as %q prints it."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\t", "\\t")
    return f'"{escaped}"'


def question_text(attributes: Attributes) -> str:
    user, verb = quoted(attributes.user.name), attributes.verb
    if not attributes.resource:
        return f"User {user} cannot {verb} path {quoted(attributes.path)}"
    resource = f"{attributes.resource}/{attributes.subresource}" if attributes.subresource else attributes.resource
    where = f"in the namespace {quoted(attributes.namespace)}" if attributes.namespace else "at the cluster scope"
    return f"User {user} cannot {verb} resource {quoted(resource)} in API group {quoted(attributes.group)} {where}"


def forbidden_resource(resource: str, group: str, name: str, why: str) -> StatusError:
    """403 about a resource: `pods "web" is forbidden: <why>`. An empty resource means a plain path."""
    qualified = f"{resource}.{group}" if group else resource
    if not resource:
        message = f"forbidden: {why}"
    elif not name:
        message = f"{qualified} is forbidden: {why}"
    else:
        message = f"{qualified} {quoted(name)} is forbidden: {why}"
    details = {"name": name, "group": group, "kind": resource}
    return StatusError(403, "Forbidden", message, {key: value for key, value in details.items() if value})


def forbidden(attributes: Attributes, reason: str = "") -> StatusError:
    """The answer to a request that no authorizer allowed."""
    text = question_text(attributes).translate(_HTML)
    why = f"{text}: {reason}" if reason else text
    return forbidden_resource(attributes.resource, attributes.group, attributes.name, why)
