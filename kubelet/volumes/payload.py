"""What configMap, secret, downwardAPI and projected volumes contain: path -> File. Pure; tokens come in as text."""

from collections.abc import Mapping, Sequence

from kubelet.containers.downward import field_value, resource_value
from kubelet.containers.facts import ConfigError, ConfigObjects, NodeFacts
from kubelet.pod import (
    ConfigMapVolume,
    DownwardItem,
    KeyToPath,
    Pod,
    ProjectedVolume,
    SecretVolume,
    TokenSource,
    Volume,
)
from kubelet.volumes.atomic import File

DEFAULT_MODE = 0o644
TokenKey = tuple[str, int]
"""(audience, expiration seconds) of one serviceAccountToken source."""


class VolumeError(Exception):
    """The volume cannot be set up now; the text goes into the FailedMount event."""


def is_payload_volume(volume: Volume) -> bool:
    return any(s is not None for s in (volume.config_map, volume.secret, volume.projected, volume.downward_api))


def named_objects(pod: Pod) -> tuple[set[str], set[str]]:
    """ConfigMaps and Secrets the pod's volumes show."""
    maps: set[str] = set()
    secrets: set[str] = set()
    for volume in pod.spec.volumes or ():
        if volume.config_map is not None:
            maps.add(volume.config_map.name)
        if volume.secret is not None:
            secrets.add(volume.secret.secret_name)
        for source in (volume.projected.sources if volume.projected else None) or ():
            if source.config_map is not None:
                maps.add(source.config_map.name)
            if source.secret is not None:
                secrets.add(source.secret.name)
    return maps, secrets


def token_sources(pod: Pod) -> list[TokenSource]:
    return [
        source.service_account_token
        for volume in pod.spec.volumes or ()
        for source in (volume.projected.sources if volume.projected else None) or ()
        if source.service_account_token is not None
    ]


def volume_payload(
    pod: Pod,
    volume: Volume,
    *,
    objects: ConfigObjects,
    tokens: Mapping[TokenKey, str],
    node: NodeFacts,
    pod_ips: tuple[str, ...] = (),
) -> dict[str, File]:
    if volume.config_map is not None:
        return _object(volume.config_map, "configmap", volume.config_map.name, objects.config_maps, None)
    if volume.secret is not None:
        return _object(volume.secret, "secret", volume.secret.secret_name, objects.secrets, None)
    if volume.downward_api is not None:
        mode = volume.downward_api.default_mode
        return _downward(pod, volume.downward_api.items or (), mode, node, pod_ips)
    if volume.projected is not None:
        return _projected(pod, volume.projected, objects, tokens, node, pod_ips)
    raise VolumeError(f'volume "{volume.name}" has no content of its own')


def _object(
    source: ConfigMapVolume | SecretVolume,
    kind: str,
    name: str,
    table: Mapping[str, Mapping[str, bytes] | None],
    default_mode: int | None,
) -> dict[str, File]:
    mode = source.default_mode if source.default_mode is not None else default_mode
    data = table.get(name)
    if data is None:
        if source.optional:
            return {}
        raise VolumeError(f'{kind} "{name}" not found')
    return _select(data, source.items, DEFAULT_MODE if mode is None else mode, bool(source.optional), kind, name)


def _select(
    data: Mapping[str, bytes], items: Sequence[KeyToPath] | None, mode: int, optional: bool, kind: str, name: str
) -> dict[str, File]:
    if not items:
        return {key: File(value, mode) for key, value in data.items()}
    out: dict[str, File] = {}
    for item in items:
        if item.key not in data:
            if optional:
                continue
            raise VolumeError(f"references non-existent {kind} key: {item.key}")
        out[item.path] = File(data[item.key], mode if item.mode is None else item.mode)
    return out


def _downward(
    pod: Pod, items: Sequence[DownwardItem], mode: int | None, node: NodeFacts, pod_ips: tuple[str, ...]
) -> dict[str, File]:
    out: dict[str, File] = {}
    for item in items:
        try:
            if item.field_ref is not None:
                text = field_value(pod, item.field_ref, node, pod_ips)
            elif item.resource_field_ref is not None:
                text = resource_value(pod, pod.spec.containers[0], item.resource_field_ref, node)
            else:
                continue
        except ConfigError as error:
            raise VolumeError(str(error)) from error
        chosen = item.mode if item.mode is not None else mode
        out[item.path] = File(text.encode(), DEFAULT_MODE if chosen is None else chosen)
    return out


def _projected(
    pod: Pod,
    projected: ProjectedVolume,
    objects: ConfigObjects,
    tokens: Mapping[TokenKey, str],
    node: NodeFacts,
    pod_ips: tuple[str, ...],
) -> dict[str, File]:
    mode = projected.default_mode
    out: dict[str, File] = {}
    for source in projected.sources or ():
        if source.config_map is not None:
            out |= _object(source.config_map, "configmap", source.config_map.name, objects.config_maps, mode)
        if source.secret is not None:
            out |= _object(source.secret, "secret", source.secret.name, objects.secrets, mode)
        if source.downward_api is not None:
            out |= _downward(pod, source.downward_api.items or (), mode, node, pod_ips)
        token = source.service_account_token
        if token is not None:
            key = (token.audience, token.expiration_seconds)
            if key not in tokens:
                raise VolumeError("failed to fetch token for the service account")
            out[token.path] = _token_file(pod, tokens[key], mode)
    return out


def _token_file(pod: Pod, token: str, mode: int | None) -> File:
    """A token is its owner's alone when all containers run as one user, or when an fsGroup may read it."""
    chosen = DEFAULT_MODE if mode is None else mode
    if pod.spec.security_context.fs_group is not None:
        return File(token.encode(), 0o600)
    users = set()
    for container in pod.all_containers():
        own = container.security_context.run_as_user if container.security_context else None
        users.add(own if own is not None else pod.spec.security_context.run_as_user)
    if len(users) == 1 and (user := users.pop()) is not None:
        return File(token.encode(), 0o600, uid=user)
    return File(token.encode(), chosen)
