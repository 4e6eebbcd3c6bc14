"""Names of certificate signers and of annotations for them."""

from __future__ import annotations

from collections.abc import Mapping

from apimachinery import names
from apimachinery.fields import FieldError, Path, invalid, quote, required, too_long

Errors = list[FieldError]


def is_kubernetes_signer(name: str) -> bool:
    host = name.partition("/")[0]
    return host == "kubernetes.io" or host.endswith(".kubernetes.io")


def signer_name(name: str, path: Path) -> Errors:
    """`domain.example/name`, the name made of dot-separated parts so that namespaces and objects fit into it."""
    if not name:
        return [required(path)]
    domain, slash, rest = name.partition("/")
    if not slash or "/" in rest:
        detail = "must be a fully qualified domain and path of the form 'example.com/signer-name'"
        return [invalid(path, name, detail)]
    found: Errors = [too_long(path, "", 253)] if len(domain) > 253 else []
    labels = domain.split(".")
    for label in labels:
        wrong = names.dns1123_label(label)
        if wrong:
            found += [invalid(path, domain, f"validating label {quote(label)}: {text}") for text in wrong]
            break
    if len(labels) < 2:
        found.append(invalid(path, domain, "should be a domain with at least two segments separated by dots"))
    for label in rest.split("."):
        wrong = names.dns1123_subdomain(label)
        if wrong:
            found += [invalid(path, rest, f"validating label {quote(label)}: {text}") for text in wrong]
            break
    if len(name) > 571:
        found.append(too_long(path, "", 571))
    return found


def user_annotations(table: Mapping[str, str], path: Path) -> Errors:
    found: Errors = []
    for key in table:
        lower = key.lower()
        wrong = [invalid(path, lower, text) for text in names.qualified_name(lower)]
        if not wrong and lower.count("/") != 1:
            wrong = [invalid(path, lower, 'must be a domain-prefixed key (such as "acme.io/foo")')]
        found += wrong
    if sum(len(key.encode()) + len(value.encode()) for key, value in table.items()) > 256 * 1024:
        found.append(too_long(path, "", 256 * 1024))
    return found
