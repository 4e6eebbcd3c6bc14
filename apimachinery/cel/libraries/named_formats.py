"""`format.named("dns1123Label")` and its kin: the forms that names and values have in Kubernetes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

from apimachinery import names
from apimachinery.cel import types
from apimachinery.cel.libraries.network import parse_url
from apimachinery.cel.libraries.standard import tenth
from apimachinery.cel.library import Library
from apimachinery.cel.types import Type
from apimachinery.cel.values import NONE, Opaque, Optional

FORMAT_TYPE = types.struct("kubernetes.NamedFormat")
FORMATS = Library({"Format": FORMAT_TYPE})
Check = Callable[[str], list[str]]


@dataclass(frozen=True, slots=True)
class Format(Opaque):
    """A form; `cost` is how long upstream reckons its pattern to be."""

    cel_type: ClassVar[Type] = FORMAT_TYPE
    name: str
    check: Check
    cost: int


def _uri(text: str) -> list[str]:
    try:
        parse_url(text)
    except ValueError as error:
        return [str(error)]
    return []


def _fits(name: str, complaint: str) -> Check:
    def check(text: str) -> list[str]:
        from apimachinery.structural.formats import fits

        return [] if fits(name, text) else [complaint]

    return check


def _prefix(check: Check) -> Check:
    """A name that something will be added to may end in a dash."""
    return lambda text: check(f"{text[:-1]}a" if text.endswith("-") else text)


_BY_NAME = {
    one.name: one
    for one in (
        Format("dns1123Label", names.dns1123_label, 30),
        Format("dns1123Subdomain", names.dns1123_subdomain, 60),
        Format("dns1035Label", names.dns1035_label, 30),
        Format("qualifiedName", names.qualified_name, 60),
        Format("dns1123LabelPrefix", _prefix(names.dns1123_label), 30),
        Format("dns1123SubdomainPrefix", _prefix(names.dns1123_subdomain), 60),
        Format("dns1035LabelPrefix", _prefix(names.dns1035_label), 30),
        Format("labelValue", names.label_value, 40),
        Format("uri", _uri, 1000),
        Format("uuid", _fits("uuid", "does not match the UUID format"), 91),
        Format("byte", _fits("byte", "invalid base64"), 84),
        Format("date", _fits("date", "invalid date"), 125),
        Format("datetime", _fits("datetime", "invalid datetime"), 125),
    )
}


def _cost(args: tuple[Any, ...], _result: Any) -> int:
    form: Format = args[0]
    return tenth(len(args[1]) + 1) * ((form.cost + 3) // 4)


@FORMATS.function("format.named(string) -> optional<Format>", "format-named")
def _named(name: str) -> Optional:
    found = _BY_NAME.get(name)
    return NONE if found is None else Optional(found)


@FORMATS.method("validate(Format, string) -> optional<list<string>>", "format-validate", _cost)
def _validate(form: Format, text: str) -> Optional:
    found = form.check(text)
    return Optional(found) if found else NONE


def _constants() -> None:
    for one in _BY_NAME.values():
        FORMATS.function(f"format.{one.name}() -> Format", f"format.{one.name}")(lambda one=one: one)


_constants()
