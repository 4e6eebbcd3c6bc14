"""A container's environment: envFrom, then env in order with $(NAME) expansion, then service variables not yet set."""

from collections.abc import Mapping, Sequence

from kubelet.containers.downward import field_value, resource_value
from kubelet.containers.expansion import expand
from kubelet.containers.facts import ConfigError, ConfigObjects, NodeFacts, ServiceFacts
from kubelet.pod import Container, EnvSource, KeyRef, Pod


def make_environment(
    pod: Pod,
    container: Container,
    *,
    objects: ConfigObjects,
    services: Sequence[ServiceFacts],
    node: NodeFacts,
    pod_ips: tuple[str, ...] = (),
) -> dict[str, str]:
    service_values = service_environment(services, pod.metadata.namespace, pod.spec.enable_service_links)
    result: dict[str, str] = {}
    for source in container.env_from or ():
        for kind, ref, table in (
            ("configmap", source.config_map_ref, objects.config_maps),
            ("secret", source.secret_ref, objects.secrets),
        ):
            if ref is None:
                continue
            data = table.get(ref.name)
            if data is None:
                if ref.optional:
                    continue
                raise ConfigError(f'{kind} "{ref.name}" not found')
            for key, content in data.items():
                result[source.prefix + key] = content.decode(errors="replace")
    known = dict(service_values)
    known.update(result)
    for variable in container.env or ():
        if variable.value_from is None:
            value: str | None = expand(variable.value, known)
        else:
            value = _from_source(pod, container, variable.value_from, objects, node, pod_ips)
        if value is None:
            continue
        result[variable.name] = known[variable.name] = value
    for name, text in service_values.items():
        result.setdefault(name, text)
    return result


def _from_source(
    pod: Pod, container: Container, source: EnvSource, objects: ConfigObjects, node: NodeFacts, pod_ips: tuple[str, ...]
) -> str | None:
    if source.field_ref is not None:
        return field_value(pod, source.field_ref, node, pod_ips)
    if source.resource_field_ref is not None:
        return resource_value(pod, container, source.resource_field_ref, node)
    if source.config_map_key_ref is not None:
        return _key(pod, "ConfigMap", source.config_map_key_ref, objects.config_maps)
    if source.secret_key_ref is not None:
        return _key(pod, "Secret", source.secret_key_ref, objects.secrets)
    return ""


def _key(pod: Pod, kind: str, ref: KeyRef, table: Mapping[str, Mapping[str, bytes] | None]) -> str | None:
    data = table.get(ref.name)
    if data is None:
        if ref.optional:
            return None
        raise ConfigError(f'{kind.lower()} "{ref.name}" not found')
    if ref.key not in data:
        if ref.optional:
            return None
        raise ConfigError(f"couldn't find key {ref.key} in {kind} {pod.metadata.namespace}/{ref.name}")
    return data[ref.key].decode(errors="replace")


def service_environment(services: Sequence[ServiceFacts], namespace: str, links: bool) -> dict[str, str]:
    """The namespace's services when links are wanted, and default/kubernetes always."""
    chosen: dict[str, ServiceFacts] = {}
    for service in services:
        if not service.cluster_ip or service.cluster_ip == "None":
            continue
        if service.namespace == namespace and links:
            chosen[service.name] = service
        elif service.namespace == "default" and service.name == "kubernetes":
            chosen.setdefault(service.name, service)
    result: dict[str, str] = {}
    for service in sorted(chosen.values(), key=lambda s: s.name):
        result.update(_one_service(service))
    return result


def _one_service(service: ServiceFacts) -> dict[str, str]:
    prefix = service.name.upper().replace("-", "_")
    host = service.cluster_ip
    if not service.ports:
        return {f"{prefix}_SERVICE_HOST": host}
    out = {f"{prefix}_SERVICE_HOST": host, f"{prefix}_SERVICE_PORT": str(service.ports[0].port)}
    for port in service.ports:
        if port.name:
            out[f"{prefix}_SERVICE_PORT_{port.name.upper().replace('-', '_')}"] = str(port.port)
    joined = f"[{host}]" if ":" in host else host
    for index, port in enumerate(service.ports):
        protocol = port.protocol.lower() or "tcp"
        url = f"{protocol}://{joined}:{port.port}"
        if index == 0:
            out[f"{prefix}_PORT"] = url
        stem = f"{prefix}_PORT_{port.port}_{protocol.upper()}"
        out |= {stem: url, f"{stem}_PROTO": protocol, f"{stem}_PORT": str(port.port), f"{stem}_ADDR": host}
    return out


def named_objects(pod: Pod, container: Container) -> tuple[set[str], set[str]]:
    """The ConfigMaps and the Secrets the container's environment refers to."""
    maps: set[str] = set()
    secrets: set[str] = set()
    for source in container.env_from or ():
        if source.config_map_ref is not None:
            maps.add(source.config_map_ref.name)
        if source.secret_ref is not None:
            secrets.add(source.secret_ref.name)
    for variable in container.env or ():
        origin = variable.value_from
        if origin is not None and origin.config_map_key_ref is not None:
            maps.add(origin.config_map_key_ref.name)
        if origin is not None and origin.secret_key_ref is not None:
            secrets.add(origin.secret_key_ref.name)
    return maps, secrets
