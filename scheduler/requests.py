"""A pod's resource request as whole numbers, the way the scheduler counts it.

The request is the larger of what the containers run with and what any init step needs, sidecars (restartable init
containers) counted from the step in which they start, plus the pod's overhead (KEP-753). CPU counts in milli-cores, all
else in whole units. Containers that name no request weigh 100 m and 200 MB in scores, so that they spread as well.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache

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
    return combine(pod, [counted(c.resources.requests) for c in pod.spec.containers], counted)


def of_pod_for_scores(pod: Pod) -> dict[str, int]:
    """As `of_pod`, with a weight for containers that name no CPU or memory."""

    def weigh(requests: Requests) -> dict[str, int]:
        return {"cpu": UNNAMED_MILLI_CPU, "memory": UNNAMED_MEMORY, **counted(requests)}

    return combine(pod, [weigh(c.resources.requests) for c in pod.spec.containers], weigh)


def combine(pod: Pod, running: Iterable[Mapping[str, int]], weigh: object) -> dict[str, int]:
    assert callable(weigh)
    total: dict[str, int] = {}
    for part in running:
        add(total, part)
    sidecars: dict[str, int] = {}
    peak: dict[str, int] = {}
    for container in pod.spec.initContainers:
        need: dict[str, int] = dict(weigh(container.resources.requests))
        add(need, sidecars)
        if is_sidecar(container):
            sidecars = need
        larger(peak, need)
    add(total, sidecars)
    larger(total, peak)
    add(total, counted(pod.spec.overhead))
    return total


def is_sidecar(container: Container) -> bool:
    return container.restartPolicy == "Always"


def add(total: dict[str, int], part: Mapping[str, int]) -> None:
    for name, amount in part.items():
        total[name] = total.get(name, 0) + amount


def larger(total: dict[str, int], part: Mapping[str, int]) -> None:
    for name, amount in part.items():
        total[name] = max(total.get(name, 0), amount)
