"""Which volume a claim gets. Pure.

The smallest volume that is large enough wins, so that large ones stay for those who need them; one that a person has
reserved for the claim goes before all others.
"""

from __future__ import annotations

from collections.abc import Iterable

from controller_manager.volumes.views import Claim, StorageClass, Volume, storage


def mismatch(volume: Volume, claim: Claim) -> str:
    """Why the volume cannot serve the claim, in upstream's words; empty when it can."""
    if volume.metadata.deletionTimestamp is not None:
        return f'the volume is marked for deletion "{volume.metadata.name}"'
    if storage(volume.spec.capacity) < storage(claim.spec.resources.requests):
        return "requested PV is too small"
    if volume.class_name != claim.class_name:
        return "storageClassName does not match"
    if (volume.spec.volumeAttributesClassName or "") != (claim.spec.volumeAttributesClassName or ""):
        return "volumeAttributesClassName does not match"
    if volume.spec.volumeMode != claim.spec.volumeMode:
        return "incompatible volumeMode"
    if not set(claim.spec.accessModes) <= set(volume.spec.accessModes):
        return "incompatible accessMode"
    return ""


def best_volume(volumes: Iterable[Volume], claim: Claim, *, reserved_only: bool = False) -> Volume | None:
    """`reserved_only`: the claim waits for its first consumer, so only a volume reserved for it counts."""
    fitting: list[Volume] = []
    for volume in volumes:
        reference = volume.spec.claimRef
        if reference is not None:
            if reference.names(claim) and not mismatch(volume, claim):
                return volume
            continue
        if reserved_only or volume.status.phase != "Available" or mismatch(volume, claim):
            continue
        selector = claim.spec.selector
        if selector is not None and not selector.matches(volume.metadata.labels):
            continue
        fitting.append(volume)
    return min(fitting, key=_preference, default=None)


def _preference(volume: Volume) -> tuple[int, int, str]:
    """Size first; then fewer access modes, then the name, so that the choice is the same every time."""
    return storage(volume.spec.capacity), len(volume.spec.accessModes), volume.metadata.name


def default_class(classes: Iterable[StorageClass]) -> StorageClass | None:
    """Of several that call themselves default the newest counts, then the first by name (KEP-3333)."""
    defaults = sorted((c for c in classes if c.is_default), key=lambda c: c.metadata.name)
    return max(defaults, key=lambda c: c.metadata.creationTimestamp or "", default=None)
