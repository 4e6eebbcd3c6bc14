"""What a URL asks for: the API's paths taken apart the way authorizers and handlers need them."""

from __future__ import annotations

from dataclasses import dataclass

_VERBS = {"POST": "create", "GET": "get", "HEAD": "get", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}
#: Segments after a namespace's name that are subresources of the namespace itself, not resources in it.
_NAMESPACE_SUBRESOURCES = ("status", "finalize")


@dataclass(slots=True)
class Target:
    """`resource` is empty for paths outside the API; then `verb` is the method in lower case."""

    path: str
    verb: str
    group: str = ""
    version: str = ""
    namespace: str = ""
    resource: str = ""
    subresource: str = ""
    name: str = ""
    rest: str = ""
    """What follows the subresource: the path behind `/proxy/`."""

    @property
    def is_resource(self) -> bool:
        return bool(self.resource)


def parse(method: str, path: str, query: dict[str, str]) -> Target:
    parts = path.strip("/").split("/")
    if len(parts) >= 3 and parts[0] == "api":
        return _resource(method, path, "", parts[1], parts[2:], query)
    if len(parts) >= 4 and parts[0] == "apis":
        return _resource(method, path, parts[1], parts[2], parts[3:], query)
    return Target(path, method.lower())


def _resource(method: str, path: str, group: str, version: str, parts: list[str], query: dict[str, str]) -> Target:
    target = Target(path, _VERBS.get(method, method.lower()), group, version)
    if parts[0] == "watch" and len(parts) > 1:  # the deprecated form, which old tools still use
        target.verb, parts = "watch", parts[1:]
    if parts[0] == "namespaces" and len(parts) > 1:
        target.namespace = parts[1]
        if len(parts) > 2 and parts[2] not in _NAMESPACE_SUBRESOURCES:
            parts = parts[2:]
    target.resource = parts[0]
    target.name = parts[1] if len(parts) > 1 else ""
    target.subresource = parts[2] if len(parts) > 2 else ""
    target.rest = "/".join(parts[3:])
    if not target.name and target.verb == "get":
        target.verb = "watch" if is_true(query.get("watch")) else "list"
    elif target.verb == "get" and is_true(query.get("watch")) and not target.subresource:
        target.verb = "watch"
    elif not target.name and target.verb == "delete":
        target.verb = "deletecollection"
    if target.verb in ("list", "watch") and not target.name:
        target.name = selected_name(query.get("fieldSelector", ""))
    return target


def selected_name(field_selector: str) -> str:
    """The one name that `metadata.name=x` asks for: authorizers may have granted just that."""
    for term in field_selector.split(","):
        name, equals, value = term.partition("=")
        if name == "metadata.name" and equals:
            return value.removeprefix("=")
    return ""


def is_true(text: str | None) -> bool:
    """A boolean of a query: present and not spelled false."""
    return text is not None and text.lower() not in ("false", "0")
