"""The kubelet's typed view of a Pod: the fields it reads, decoded straight from watch bytes.

Values are frozen; the server has applied the defaults before we see them, static pods get them in `sync.static`.
Fields that only pass through (affinity, the status others wrote) stay plain JSON values.
"""

from typing import Any

import msgspec

Amount = str | int | float


class View(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True, kw_only=True):
    """A read-only excerpt of an API type; fields not named are skipped by the decoder."""


class OwnerReference(View, frozen=True):
    api_version: str = ""
    kind: str = ""
    name: str = ""
    uid: str = ""
    controller: bool | None = None


class Metadata(View, frozen=True):
    name: str = ""
    namespace: str = ""
    uid: str = ""
    resource_version: str = ""
    generation: int = 0
    creation_timestamp: str | None = None
    deletion_timestamp: str | None = None
    deletion_grace_period_seconds: int | None = None
    labels: dict[str, str] | None = None
    annotations: dict[str, str] | None = None
    owner_references: list[OwnerReference] | None = None


class FieldRef(View, frozen=True):
    api_version: str = "v1"
    field_path: str = ""


class ResourceFieldRef(View, frozen=True):
    container_name: str = ""
    resource: str = ""
    divisor: Amount = "0"


class KeyRef(View, frozen=True):
    name: str = ""
    key: str = ""
    optional: bool | None = None


class EnvSource(View, frozen=True):
    field_ref: FieldRef | None = None
    resource_field_ref: ResourceFieldRef | None = None
    config_map_key_ref: KeyRef | None = None
    secret_key_ref: KeyRef | None = None


class EnvVar(View, frozen=True):
    name: str
    value: str = ""
    value_from: EnvSource | None = None


class ObjectRef(View, frozen=True):
    name: str = ""
    optional: bool | None = None


class EnvFrom(View, frozen=True):
    prefix: str = ""
    config_map_ref: ObjectRef | None = None
    secret_ref: ObjectRef | None = None


class Port(View, frozen=True):
    container_port: int
    name: str = ""
    host_port: int = 0
    protocol: str = "TCP"
    host_ip: str = msgspec.field(default="", name="hostIP")


class Resources(View, frozen=True):
    limits: dict[str, Amount] | None = None
    requests: dict[str, Amount] | None = None


class Mount(View, frozen=True):
    name: str
    mount_path: str
    read_only: bool = False
    recursive_read_only: str | None = None
    sub_path: str = ""
    sub_path_expr: str = ""
    mount_propagation: str | None = None


class ExecAction(View, frozen=True):
    command: list[str] | None = None


class Header(View, frozen=True):
    name: str
    value: str = ""


class HTTPGetAction(View, frozen=True):
    port: int | str
    path: str = ""
    host: str = ""
    scheme: str = "HTTP"
    http_headers: list[Header] | None = None


class TCPSocketAction(View, frozen=True):
    port: int | str
    host: str = ""


class GRPCAction(View, frozen=True):
    port: int
    service: str | None = None


class SleepAction(View, frozen=True):
    seconds: int = 0


class Probe(View, frozen=True):
    exec: ExecAction | None = None
    http_get: HTTPGetAction | None = None
    tcp_socket: TCPSocketAction | None = None
    grpc: GRPCAction | None = None
    initial_delay_seconds: int = 0
    timeout_seconds: int = 1
    period_seconds: int = 10
    success_threshold: int = 1
    failure_threshold: int = 3
    termination_grace_period_seconds: int | None = None


class LifecycleHandler(View, frozen=True):
    exec: ExecAction | None = None
    http_get: HTTPGetAction | None = None
    tcp_socket: TCPSocketAction | None = None
    sleep: SleepAction | None = None


class Lifecycle(View, frozen=True):
    post_start: LifecycleHandler | None = None
    pre_stop: LifecycleHandler | None = None
    stop_signal: str | None = None


class Capabilities(View, frozen=True):
    add: list[str] | None = None
    drop: list[str] | None = None


class Profile(View, frozen=True):
    type: str
    localhost_profile: str | None = None


class SELinuxOptions(View, frozen=True):
    user: str = ""
    role: str = ""
    type: str = ""
    level: str = ""


class SecurityContext(View, frozen=True):
    capabilities: Capabilities | None = None
    privileged: bool | None = None
    se_linux_options: SELinuxOptions | None = None
    run_as_user: int | None = None
    run_as_group: int | None = None
    run_as_non_root: bool | None = None
    read_only_root_filesystem: bool | None = None
    allow_privilege_escalation: bool | None = None
    proc_mount: str | None = None
    seccomp_profile: Profile | None = None
    app_armor_profile: Profile | None = None


class ExitCodes(View, frozen=True):
    operator: str
    values: list[int] | None = None


class RestartRule(View, frozen=True):
    action: str
    exit_codes: ExitCodes | None = None


class Device(View, frozen=True):
    name: str
    device_path: str


class Container(View, frozen=True):
    name: str
    image: str = ""
    command: list[str] | None = None
    args: list[str] | None = None
    working_dir: str = ""
    ports: list[Port] | None = None
    env_from: list[EnvFrom] | None = None
    env: list[EnvVar] | None = None
    resources: Resources = Resources()
    restart_policy: str | None = None
    restart_policy_rules: list[RestartRule] | None = None
    volume_mounts: list[Mount] | None = None
    volume_devices: list[Device] | None = None
    liveness_probe: Probe | None = None
    readiness_probe: Probe | None = None
    startup_probe: Probe | None = None
    lifecycle: Lifecycle | None = None
    termination_message_path: str = "/dev/termination-log"
    termination_message_policy: str = "File"
    image_pull_policy: str = ""
    security_context: SecurityContext | None = None
    stdin: bool = False
    stdin_once: bool = False
    tty: bool = False
    target_container_name: str = ""

    @property
    def is_sidecar(self) -> bool:
        """Only meaningful for init containers: one with restartPolicy Always runs beside the others."""
        return self.restart_policy == "Always"


class KeyToPath(View, frozen=True):
    key: str
    path: str
    mode: int | None = None


class EmptyDir(View, frozen=True):
    medium: str = ""
    size_limit: Amount | None = None


class HostPath(View, frozen=True):
    path: str
    type: str | None = None


class ConfigMapVolume(View, frozen=True):
    name: str = ""
    items: list[KeyToPath] | None = None
    default_mode: int | None = None
    optional: bool | None = None


class SecretVolume(View, frozen=True):
    secret_name: str = ""
    name: str = ""
    items: list[KeyToPath] | None = None
    default_mode: int | None = None
    optional: bool | None = None


class DownwardItem(View, frozen=True):
    path: str
    field_ref: FieldRef | None = None
    resource_field_ref: ResourceFieldRef | None = None
    mode: int | None = None


class DownwardVolume(View, frozen=True):
    items: list[DownwardItem] | None = None
    default_mode: int | None = None


class TokenSource(View, frozen=True):
    path: str
    audience: str = ""
    expiration_seconds: int = 3600


class ProjectedSource(View, frozen=True):
    secret: SecretVolume | None = None
    config_map: ConfigMapVolume | None = None
    downward_api: DownwardVolume | None = msgspec.field(default=None, name="downwardAPI")
    service_account_token: TokenSource | None = None
    cluster_trust_bundle: dict[str, Any] | None = None


class ProjectedVolume(View, frozen=True):
    sources: list[ProjectedSource] | None = None
    default_mode: int | None = None


class ClaimVolume(View, frozen=True):
    claim_name: str
    read_only: bool = False


class ImageVolume(View, frozen=True):
    reference: str = ""
    pull_policy: str = ""


class Volume(View, frozen=True):
    name: str
    empty_dir: EmptyDir | None = None
    host_path: HostPath | None = None
    config_map: ConfigMapVolume | None = None
    secret: SecretVolume | None = None
    projected: ProjectedVolume | None = None
    downward_api: DownwardVolume | None = msgspec.field(default=None, name="downwardAPI")
    persistent_volume_claim: ClaimVolume | None = None
    ephemeral: dict[str, Any] | None = None
    image: ImageVolume | None = None


class Sysctl(View, frozen=True):
    name: str
    value: str


class PodSecurityContext(View, frozen=True):
    se_linux_options: SELinuxOptions | None = None
    run_as_user: int | None = None
    run_as_group: int | None = None
    run_as_non_root: bool | None = None
    supplemental_groups: list[int] | None = None
    supplemental_groups_policy: str | None = None
    fs_group: int | None = None
    fs_group_change_policy: str | None = None
    sysctls: list[Sysctl] | None = None
    seccomp_profile: Profile | None = None
    app_armor_profile: Profile | None = None


class DNSOption(View, frozen=True):
    name: str
    value: str | None = None


class DNSConfig(View, frozen=True):
    nameservers: list[str] | None = None
    searches: list[str] | None = None
    options: list[DNSOption] | None = None


class HostAlias(View, frozen=True):
    ip: str
    hostnames: list[str] | None = None


class ReadinessGate(View, frozen=True):
    condition_type: str


class Toleration(View, frozen=True):
    key: str = ""
    operator: str = ""
    value: str = ""
    effect: str = ""
    toleration_seconds: int | None = None


class PodOS(View, frozen=True):
    name: str = ""


class Spec(View, frozen=True):
    containers: list[Container] = []
    init_containers: list[Container] | None = None
    ephemeral_containers: list[Container] | None = None
    volumes: list[Volume] | None = None
    restart_policy: str = "Always"
    termination_grace_period_seconds: int = 30
    active_deadline_seconds: int | None = None
    dns_policy: str = "ClusterFirst"
    node_selector: dict[str, str] | None = None
    service_account_name: str = ""
    node_name: str = ""
    host_network: bool = False
    host_pid: bool = msgspec.field(default=False, name="hostPID")
    host_ipc: bool = msgspec.field(default=False, name="hostIPC")
    share_process_namespace: bool = False
    security_context: PodSecurityContext = PodSecurityContext()
    image_pull_secrets: list[ObjectRef] | None = None
    hostname: str = ""
    hostname_override: str | None = None
    subdomain: str = ""
    set_hostname_as_fqdn: bool = msgspec.field(default=False, name="setHostnameAsFQDN")
    affinity: dict[str, Any] | None = None
    tolerations: list[Toleration] | None = None
    host_aliases: list[HostAlias] | None = None
    priority: int | None = None
    priority_class_name: str = ""
    dns_config: DNSConfig | None = None
    readiness_gates: list[ReadinessGate] | None = None
    runtime_class_name: str | None = None
    enable_service_links: bool = True
    overhead: dict[str, Amount] | None = None
    resources: Resources | None = None
    os: PodOS | None = None


class Pod(View, frozen=True):
    metadata: Metadata
    spec: Spec = Spec()
    status: dict[str, Any] = {}

    @property
    def uid(self) -> str:
        return self.metadata.uid

    @property
    def full_name(self) -> str:
        """The form in which upstream's messages name a pod: name_namespace(uid)."""
        return f"{self.metadata.name}_{self.metadata.namespace}({self.metadata.uid})"

    @property
    def is_static(self) -> bool:
        source = (self.metadata.annotations or {}).get(SOURCE_ANNOTATION, "api")
        return source != "api"

    @property
    def is_mirror(self) -> bool:
        return MIRROR_ANNOTATION in (self.metadata.annotations or {})

    def container(self, name: str) -> Container | None:
        return next((c for c in self.all_containers() if c.name == name), None)

    def all_containers(self) -> list[Container]:
        spec = self.spec
        return [*(spec.init_containers or ()), *spec.containers, *(spec.ephemeral_containers or ())]


SOURCE_ANNOTATION = "kubernetes.io/config.source"
MIRROR_ANNOTATION = "kubernetes.io/config.mirror"
HASH_ANNOTATION = "kubernetes.io/config.hash"

_decoder = msgspec.json.Decoder(Pod)


def decode(body: bytes) -> Pod:
    return _decoder.decode(body)


def from_object(value: dict[str, Any]) -> Pod:
    return msgspec.convert(value, Pod)


def to_object(pod: Pod) -> dict[str, Any]:
    """JSON values again, for the arithmetic shared with other services (which works on plain objects)."""
    value: dict[str, Any] = msgspec.to_builtins(pod)
    return value
