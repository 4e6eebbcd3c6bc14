"""A pod's resource request as whole numbers, the way the scheduler counts it.

What is added to what, `apimachinery.podspec.resources` says. CPU counts in milli-cores, all else in whole units.
Containers that name no request weigh 100 m and 200 MB in scores, so that they spread as well.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

from apimachinery.podspec.resources import add, is_pod_level, together
from apimachinery.quantity import Quantity
from scheduler.views import Container, Pod, Requests

UNNAMED_MILLI_CPU = 100
UNNAMED_MEMORY = 200 * 1024 * 1024


@lru_cache(maxsize=4096)
def count(resource: str, quantity: str) -> int:
    """Rounded up, as a request must never be understated."""
    parsed = Quantity.parse(quantity)
    return parsed.milli_value() if resource == "cpu" else parsed.value()


def counted(requests: Requests) -> dict[str, int]:
    return {name: count(name, str(amount)) for name, amount in requests.items()}


def of_pod(pod: Pod) -> dict[str, int]:
    return combine(pod, counted)


def of_pod_for_scores(pod: Pod) -> dict[str, int]:
    """As `of_pod`, with a weight for containers that name no CPU or memory."""

    def weigh(requests: Requests) -> dict[str, int]:
        return {"cpu": UNNAMED_MILLI_CPU, "memory": UNNAMED_MEMORY, **counted(requests)}

    return combine(pod, weigh)


def combine(pod: Pod, weigh: Callable[[Requests], dict[str, int]]) -> dict[str, int]:
    spec = pod.spec
    steps = [(weigh(c.resources.requests), is_sidecar(c)) for c in spec.initContainers]
    total = together([weigh(c.resources.requests) for c in spec.containers], steps)
    if spec.resources is not None:
        whole = counted(spec.resources.requests)
        total.update((name, amount) for name, amount in whole.items() if is_pod_level(name))
    if spec.overhead:
        add(total, counted(spec.overhead))
    return total


def is_sidecar(container: Container) -> bool:
    return container.restartPolicy == "Always"
