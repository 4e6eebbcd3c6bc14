"""The sentences in which a request is refused; clients and people match on them."""

from __future__ import annotations

from apimachinery import errors
from apimachinery.errors import StatusError
from apimachinery.fields import quote
from apiserver.ports import Attributes

_HTML = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})


def question_text(attributes: Attributes) -> str:
    user, verb = quote(attributes.user.name), attributes.verb
    if not attributes.resource:
        return f"User {user} cannot {verb} path {quote(attributes.path)}"
    resource = f"{attributes.resource}/{attributes.subresource}" if attributes.subresource else attributes.resource
    where = f"in the namespace {quote(attributes.namespace)}" if attributes.namespace else "at the cluster scope"
    return f"User {user} cannot {verb} resource {quote(resource)} in API group {quote(attributes.group)} {where}"


def forbidden(attributes: Attributes, reason: str = "") -> StatusError:
    """The answer to a request that no authorizer allowed."""
    text = question_text(attributes).translate(_HTML)
    why = f"{text}: {reason}" if reason else text
    return errors.forbidden(attributes.resource, attributes.group, attributes.name, why)
