"""When nothing fits: which pods of lower priority would have to go, and on which node that hurts least.

The choice among nodes follows upstream's DefaultPreemption: lowest top priority of the victims, then the smallest sum
of priorities, then the fewest victims, then the latest start. Victims that need not go are kept (reprieve), the most
important first.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from scheduler.cache import Cache
from scheduler.framework.cycle import Decision, Profile
from scheduler.pod_info import PodInfo


@dataclass(frozen=True, slots=True)
class Preemption:
    node: str
    victims: tuple[PodInfo, ...]


def may_preempt(pod: PodInfo, cache: Cache) -> bool:
    """Not when the policy forbids it, nor while victims of an earlier round are still ending on its nominated node."""
    if pod.pod.spec.preemptionPolicy == "Never":
        return False
    nomination = cache.nominated.get(pod.uid)
    if nomination is not None and not nomination.victims.isdisjoint(cache.placed):
        return False  # told to go, perhaps not yet seen going
    nominated = nomination.node if nomination is not None else pod.pod.status.nominatedNodeName
    if nominated:
        ending = (p.pod for p in cache.on_node.get(nominated, {}).values() if p.pod.metadata.deletionTimestamp)
        return not any((victim.spec.priority or 0) < pod.priority for victim in ending)
    return True


def find(pod: PodInfo, cache: Cache, profile: Profile, decision: Decision) -> Preemption | None:
    """The cache is changed while trying and restored before returning."""
    del decision
    found: list[Preemption] = []
    for node, pods in list(cache.on_node.items()):
        if node not in cache.table.rows:
            continue
        lower = [other for other in pods.values() if other.priority < pod.priority]
        if lower and (victims := _victims_on(node, pod, lower, cache, profile)):
            found.append(Preemption(node, tuple(victims)))
    return min(found, key=_cost, default=None)


def _victims_on(node: str, pod: PodInfo, lower: list[PodInfo], cache: Cache, profile: Profile) -> list[PodInfo]:
    taken_out: list[PodInfo] = []
    assumed = {other.uid for other in lower if other.uid in cache.assumed}
    for other in lower:
        cache.remove_pod(other.uid)
        taken_out.append(other)
    try:
        if not _fits(node, pod, cache, profile):
            return []
        victims = []
        for other in sorted(lower, key=lambda o: (-o.priority, o.pod.metadata.creationTimestamp or "")):
            cache.assume(other, node)
            if _fits(node, pod, cache, profile):
                taken_out.remove(other)
                continue
            cache.remove_pod(other.uid)
            victims.append(other)
        return victims
    finally:
        for other in taken_out:
            cache.assume(other, node)
        for other in lower:
            if other.uid not in assumed:
                cache.assumed.discard(other.uid)


def _fits(node: str, pod: PodInfo, cache: Cache, profile: Profile) -> bool:
    table = cache.table
    mask = np.zeros(table.size, dtype=np.bool_)
    mask[table.rows[node]] = True
    for plugin in profile.filters:
        mask &= plugin.filter(pod, table).passing(table)
        if not mask.any():
            return False
    return True


def _cost(preemption: Preemption) -> tuple[int, int, int, str]:
    priorities = [victim.priority for victim in preemption.victims]
    started = min(victim.pod.metadata.creationTimestamp or "" for victim in preemption.victims)
    # A later start is better: a text that sorts the other way round stands for it.
    inverted = "".join(chr(0x10FFFF - ord(c)) for c in started)
    return max(priorities), sum(priorities), len(priorities), inverted
