"""Rules of resource names and amounts: container requirements, quotas, limit ranges, volumes."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any

from apimachinery import names
from apimachinery.fields import ErrorKind, FieldError, Path, duplicate, forbidden, invalid, not_supported, required
from apimachinery.quantity import Quantity
from apimachinery.validation.metadata import NOT_NEGATIVE, POSITIVE

Obj = dict[str, Any]
Errors = list[FieldError]
NameRule = Callable[[str, Path], Errors]

ZERO = Quantity.parse("0")
CONTAINER = frozenset({"cpu", "memory", "ephemeral-storage"})
QUOTA = frozenset(
    {
        "cpu",
        "memory",
        "ephemeral-storage",
        "requests.cpu",
        "requests.memory",
        "requests.storage",
        "requests.ephemeral-storage",
        "limits.cpu",
        "limits.memory",
        "limits.ephemeral-storage",
        "pods",
        "resourcequotas",
        "services",
        "replicationcontrollers",
        "secrets",
        "persistentvolumeclaims",
        "configmaps",
        "services.nodeports",
        "services.loadbalancers",
    }
)
STANDARD = QUOTA | {"storage"}
INTEGERS = frozenset(
    {
        "pods",
        "resourcequotas",
        "services",
        "replicationcontrollers",
        "secrets",
        "configmaps",
        "persistentvolumeclaims",
        "services.nodeports",
        "services.loadbalancers",
    }
)
POD_LEVEL = ("cpu", "hugepages-", "memory")


def is_huge_page(name: str) -> bool:
    return name.startswith("hugepages-")


def is_native(name: str) -> bool:
    return "/" not in name or name.partition("/")[0].endswith("kubernetes.io")


def is_extended(name: str) -> bool:
    """A countable resource of somebody else's domain, such as a device."""
    if is_native(name) or name.startswith("requests."):
        return False
    return not names.qualified_name(f"requests.{name}")


def may_overcommit(name: str) -> bool:
    return is_native(name) and not is_huge_page(name)


def is_integer(name: str) -> bool:
    return name in INTEGERS or is_extended(name)


def resource_name(name: str, path: Path) -> Errors:
    found = [invalid(path, name, text) for text in names.qualified_name(name)]
    if not found and "/" not in name and name not in STANDARD and not _quota_huge(name):
        found.append(invalid(path, name, "must be a standard resource type or fully qualified"))
    return found


def _quota_huge(name: str) -> bool:
    return name.startswith(("hugepages-", "requests.hugepages-"))


def container_resource_name(name: str, path: Path) -> Errors:
    found = resource_name(name, path)
    if "/" not in name:
        if name not in CONTAINER and not is_huge_page(name):
            return [*found, invalid(path, name, "must be a standard resource for containers")]
    elif not is_native(name) and not is_extended(name):
        return [*found, invalid(path, name, "doesn't follow extended resource name standard")]
    return found


def pod_resource_name(name: str, path: Path) -> Errors:
    found = resource_name(name, path)
    if not found and name not in {"cpu", "memory"} and not is_huge_page(name):
        found.append(not_supported(path, name, POD_LEVEL))
    return found


def quota_resource_name(name: str, path: Path) -> Errors:
    found = resource_name(name, path)
    if "/" not in name and name not in QUOTA and not _quota_huge(name):
        found.append(invalid(path, name, "must be a standard resource for quota"))
    return found


def parsed(text: Any) -> Quantity | None:
    """The amount, or None for a text that is none; the decoder answers such bodies with 400 before they come here."""
    try:
        return Quantity.parse(text)
    except ValueError:
        return None


def amount(name: str, text: Any, path: Path) -> Errors:
    """An amount of a resource that counts something: not negative, whole where halves make no sense."""
    quantity = parsed(text)
    if quantity is None:
        return [invalid(path, text, "must be a valid resource quantity")]
    found = [invalid(path, str(quantity), NOT_NEGATIVE)] if quantity < ZERO else []
    if is_integer(name) and quantity.milli_value() % 1000:
        found.append(invalid(path, str(quantity), "must be an integer"))
    return found


def positive_amount(text: Any, path: Path) -> Errors:
    quantity = parsed(text)
    if quantity is None or quantity <= ZERO:
        return [invalid(path, text if quantity is None else str(quantity), POSITIVE)]
    return []


def non_negative_amount(text: Any, path: Path) -> Errors:
    quantity = parsed(text)
    if quantity is None or quantity < ZERO:
        return [invalid(path, text if quantity is None else str(quantity), NOT_NEGATIVE)]
    return []


def requirements(
    wanted: Obj, claims: Collection[str], path: Path, name_rule: NameRule = container_resource_name
) -> Errors:
    """Requests and limits of a container (or of a whole pod, by another rule for names)."""
    found: Errors = []
    limits, requests = wanted.get("limits") or {}, wanted.get("requests") or {}
    for name, text in limits.items():
        place = path.child("limits").key(name)
        found += name_rule(name, place) + amount(name, text, place) + _huge_page(name, text, place)
    for name, text in requests.items():
        place = path.child("requests").key(name)
        found += name_rule(name, place) + amount(name, text, place)
        quantity, limit = parsed(text), parsed(limits[name]) if name in limits else None
        if name not in limits:
            if not may_overcommit(name):
                found.append(required(path.child("limits"), "Limit must be set for non overcommitable resources"))
        elif quantity is not None and limit is not None:
            if quantity != limit and not may_overcommit(name):
                detail = f"must be equal to {name} limit of {limit}"
                found.append(invalid(path.child("requests"), str(quantity), detail))
            elif quantity > limit:
                detail = f"must be less than or equal to {name} limit of {limit}"
                found.append(invalid(path.child("requests"), str(quantity), detail))
        found += _huge_page(name, text, place)
    every = limits.keys() | requests.keys()
    if any(is_huge_page(name) for name in every) and not every & {"cpu", "memory"}:
        found.append(forbidden(path, "HugePages require cpu or memory"))
    return found + _claims(wanted.get("claims") or (), claims, path.child("claims"))


def _huge_page(name: str, text: Any, path: Path) -> Errors:
    if not is_huge_page(name):
        return []
    size, quantity = parsed(name.removeprefix("hugepages-")), parsed(text)
    if size is None or quantity is None or size <= ZERO or quantity < ZERO or quantity.value() % size.value():
        return [invalid(path, str(text), f"{text} is not positive integer multiple of {name}")]
    return []


def _claims(listed: Sequence[Obj], known: Collection[str], path: Path) -> Errors:
    found: Errors = []
    seen: set[str] = set()
    for index, claim in enumerate(listed):
        place, name, request = path.index(index), claim.get("name") or "", claim.get("request") or ""
        if not name:
            found.append(required(place))
            continue
        if name in seen:
            found.append(duplicate(place, name))
        else:
            key = f"{name}/{request}" if request else name
            if request:
                found += [invalid(place.child("request"), request, text) for text in names.dns1123_label(request)]
            if key in seen or (not request and any(one.startswith(f"{name}/") for one in seen)):
                found.append(duplicate(place, key))
            seen.add(key)
        if name not in known:
            detail = "must be one of the names in pod.spec.resourceClaims"
            detail += f": {', '.join(sorted(known))}" if known else " which is empty"
            found.append(FieldError(ErrorKind.NOT_FOUND, str(place), name, detail))
    return found
