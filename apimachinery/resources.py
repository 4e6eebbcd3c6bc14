"""The built-in resources: what the server serves by default, under which names, verbs and storage keys.

Groups, versions and resources stand in the order discovery shows them.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING

from apimachinery.gvk import GroupVersionKind, join_api_version

if TYPE_CHECKING:
    from apimachinery.structural.version import CustomVersion

#: Discovery lists verbs in alphabetical order; `proxy` verbs stand for the HTTP methods of a connection.
_VERB_SETS = {
    "all": ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"),
    "single": ("create", "delete", "get", "list", "patch", "update", "watch"),
    "create": ("create",),
    "read": ("get", "list"),
    "status": ("get", "patch", "update"),
    "connect": ("create", "get"),
    "proxy": ("create", "delete", "get", "patch", "update"),
    "get": ("get",),
    "update": ("update",),
}
#: Storage prefixes which keep names from before the API settled.
_PREFIXES = {
    ("", "replicationcontrollers"): "controllers",
    ("", "endpoints"): "services/endpoints",
    ("", "nodes"): "minions",
    ("", "services"): "services/specs",
    ("networking.k8s.io", "ingresses"): "ingress",
    ("apiextensions.k8s.io", "customresourcedefinitions"): "apiextensions.k8s.io/customresourcedefinitions",
    ("apiregistration.k8s.io", "apiservices"): "apiregistration.k8s.io/apiservices",
}
#: Kinds stored under another group and version than the one served; `events` of both groups are the same objects.
_STORED_AS = {
    ("autoscaling", "horizontalpodautoscalers"): ("autoscaling", "v2"),
    ("events.k8s.io", "events"): ("", "v1"),
}
STORAGE_ROOT = "/registry"


@dataclass(frozen=True, slots=True)
class SubresourceInfo:
    """A subresource and the kind its bodies are; group and version say where that kind lives."""

    name: str
    kind: str
    group: str
    version: str
    verbs: tuple[str, ...]

    @property
    def api_version(self) -> str:
        return join_api_version(self.group, self.version)


@dataclass(frozen=True, eq=False)
class ResourceInfo:
    """One resource in one version; custom resources are described by the same class, built from their definition."""

    group: str
    version: str
    kind: str
    plural: str
    singular: str = ""
    short_names: tuple[str, ...] = ()
    namespaced: bool = True
    verbs: tuple[str, ...] = _VERB_SETS["all"]
    categories: tuple[str, ...] = ()
    subresources: tuple[SubresourceInfo, ...] = ()
    list_kind: str = ""
    #: As what objects are stored and under which key; by default the served version and `/registry/<plural>`.
    storage_group: str = ""
    storage_version: str = ""
    etcd_prefix: str = ""
    #: What its definition says, of a custom resource; None for all others.
    custom: CustomVersion | None = None
    api_version: str = field(init=False)
    group_resource: str = field(init=False)
    gvk: GroupVersionKind = field(init=False)
    _subresources: dict[str, SubresourceInfo] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        derived = {
            "singular": self.singular or self.kind.lower(),
            "list_kind": self.list_kind or f"{self.kind}List",
            "storage_group": self.storage_group if self.storage_version else self.group,
            "storage_version": self.storage_version or self.version,
            "etcd_prefix": self.etcd_prefix or f"{STORAGE_ROOT}/{self.plural}",
            "api_version": join_api_version(self.group, self.version),
            "group_resource": f"{self.plural}.{self.group}" if self.group else self.plural,
            "gvk": GroupVersionKind(self.group, self.version, self.kind),
            "_subresources": {one.name: one for one in self.subresources},
        }
        for name, value in derived.items():
            object.__setattr__(self, name, value)

    @property
    def storage_api_version(self) -> str:
        return join_api_version(self.storage_group, self.storage_version)

    @property
    def is_stored(self) -> bool:
        """False for virtual resources (reviews, bindings): they are answered, never kept."""
        return "watch" in self.verbs

    @property
    def storage_version_hash(self) -> str:
        """What discovery shows, so that clients notice a change of the stored version."""
        if not self.is_stored:
            return ""
        text = f"{self.storage_group}/{self.storage_version}/{self.kind}"
        return base64.b64encode(hashlib.sha256(text.encode()).digest()[:8]).decode()

    def subresource(self, name: str) -> SubresourceInfo | None:
        return self._subresources.get(name)

    def path(self, namespace: str = "", name: str = "", subresource: str = "") -> str:
        """The REST path of an object, of its collection, or (no namespace given) of all namespaces' collection."""
        root = f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"
        parts = [root]
        if self.namespaced and namespace:
            parts.append(f"namespaces/{namespace}")
        parts.extend(part for part in (self.plural, name, subresource) if part)
        return "/".join(parts)

    def key(self, namespace: str = "", name: str = "") -> str:
        """The storage key of an object; without a name, the prefix of a collection, with a slash at its end."""
        middle = f"/{namespace}" if self.namespaced and namespace else ""
        return f"{self.etcd_prefix}{middle}/{name}"


@dataclass(frozen=True, slots=True)
class GroupVersion:
    """A served group version with the priorities its APIService carries."""

    group: str
    version: str
    group_priority: int
    version_priority: int

    @property
    def api_version(self) -> str:
        return join_api_version(self.group, self.version)


#: In discovery's order: by group priority, versions of a group by version priority.
GROUP_VERSIONS: tuple[GroupVersion, ...] = (
    GroupVersion("", "v1", 18000, 1),
    GroupVersion("apiregistration.k8s.io", "v1", 18000, 15),
    GroupVersion("apps", "v1", 17800, 15),
    GroupVersion("events.k8s.io", "v1", 17750, 15),
    GroupVersion("authentication.k8s.io", "v1", 17700, 15),
    GroupVersion("authorization.k8s.io", "v1", 17600, 15),
    GroupVersion("autoscaling", "v2", 17500, 30),
    GroupVersion("autoscaling", "v1", 17500, 15),
    GroupVersion("batch", "v1", 17400, 15),
    GroupVersion("certificates.k8s.io", "v1", 17300, 15),
    GroupVersion("networking.k8s.io", "v1", 17200, 15),
    GroupVersion("policy", "v1", 17100, 15),
    GroupVersion("rbac.authorization.k8s.io", "v1", 17000, 15),
    GroupVersion("storage.k8s.io", "v1", 16800, 15),
    GroupVersion("admissionregistration.k8s.io", "v1", 16700, 15),
    GroupVersion("apiextensions.k8s.io", "v1", 16700, 15),
    GroupVersion("scheduling.k8s.io", "v1", 16600, 15),
    GroupVersion("coordination.k8s.io", "v1", 16500, 15),
    GroupVersion("node.k8s.io", "v1", 16300, 15),
    GroupVersion("discovery.k8s.io", "v1", 16200, 15),
    GroupVersion("resource.k8s.io", "v1", 16200, 21),
    GroupVersion("flowcontrol.apiserver.k8s.io", "v1", 16100, 21),
)

#: group/version, then rows: plural kind scope(n|c) verb-set [short=a,b] [cat=x] subresources, each
#: name:verb-set[:kind[:apiVersion]]; without a kind it has its parent's.
_TABLE = """
v1
 bindings Binding n create
 componentstatuses ComponentStatus c read short=cs
 configmaps ConfigMap n all short=cm
 endpoints Endpoints n all short=ep singular=endpoints list=EndpointsList
 events Event n all short=ev
 limitranges LimitRange n all short=limits
 namespaces Namespace c single short=ns finalize:update status:status
 nodes Node c all short=no proxy:proxy:NodeProxyOptions status:status
 persistentvolumeclaims PersistentVolumeClaim n all short=pvc status:status
 persistentvolumes PersistentVolume c all short=pv status:status
 pods Pod n all short=po cat=all attach:connect:PodAttachOptions binding:create:Binding ephemeralcontainers:status
   eviction:create:Eviction:policy/v1 exec:connect:PodExecOptions log:get portforward:connect:PodPortForwardOptions
   proxy:proxy:PodProxyOptions resize:status status:status
 podtemplates PodTemplate n all
 replicationcontrollers ReplicationController n all short=rc cat=all scale:status:Scale:autoscaling/v1 status:status
 resourcequotas ResourceQuota n all short=quota status:status
 secrets Secret n all
 serviceaccounts ServiceAccount n all short=sa token:create:TokenRequest:authentication.k8s.io/v1
 services Service n all short=svc cat=all proxy:proxy:ServiceProxyOptions status:status
admissionregistration.k8s.io/v1
 mutatingadmissionpolicies MutatingAdmissionPolicy c all cat=api-extensions
 mutatingadmissionpolicybindings MutatingAdmissionPolicyBinding c all cat=api-extensions
 mutatingwebhookconfigurations MutatingWebhookConfiguration c all cat=api-extensions
 validatingadmissionpolicies ValidatingAdmissionPolicy c all cat=api-extensions status:status
 validatingadmissionpolicybindings ValidatingAdmissionPolicyBinding c all cat=api-extensions
 validatingwebhookconfigurations ValidatingWebhookConfiguration c all cat=api-extensions
apiextensions.k8s.io/v1
 customresourcedefinitions CustomResourceDefinition c all short=crd,crds cat=api-extensions status:status
apiregistration.k8s.io/v1
 apiservices APIService c all cat=api-extensions status:status
apps/v1
 controllerrevisions ControllerRevision n all
 daemonsets DaemonSet n all short=ds cat=all status:status
 deployments Deployment n all short=deploy cat=all scale:status:Scale:autoscaling/v1 status:status
 replicasets ReplicaSet n all short=rs cat=all scale:status:Scale:autoscaling/v1 status:status
 statefulsets StatefulSet n all short=sts cat=all scale:status:Scale:autoscaling/v1 status:status
authentication.k8s.io/v1
 selfsubjectreviews SelfSubjectReview c create
 tokenreviews TokenReview c create
authorization.k8s.io/v1
 localsubjectaccessreviews LocalSubjectAccessReview n create
 selfsubjectaccessreviews SelfSubjectAccessReview c create
 selfsubjectrulesreviews SelfSubjectRulesReview c create
 subjectaccessreviews SubjectAccessReview c create
autoscaling/v2
 horizontalpodautoscalers HorizontalPodAutoscaler n all short=hpa cat=all status:status
autoscaling/v1
 horizontalpodautoscalers HorizontalPodAutoscaler n all short=hpa cat=all status:status
batch/v1
 cronjobs CronJob n all short=cj cat=all status:status
 jobs Job n all cat=all status:status
certificates.k8s.io/v1
 certificatesigningrequests CertificateSigningRequest c all short=csr approval:status status:status
coordination.k8s.io/v1
 leases Lease n all
discovery.k8s.io/v1
 endpointslices EndpointSlice n all
events.k8s.io/v1
 events Event n all short=ev
flowcontrol.apiserver.k8s.io/v1
 flowschemas FlowSchema c all status:status
 prioritylevelconfigurations PriorityLevelConfiguration c all status:status
networking.k8s.io/v1
 ingressclasses IngressClass c all
 ingresses Ingress n all short=ing status:status
 ipaddresses IPAddress c all short=ip
 networkpolicies NetworkPolicy n all short=netpol
 servicecidrs ServiceCIDR c all status:status
node.k8s.io/v1
 runtimeclasses RuntimeClass c all
policy/v1
 poddisruptionbudgets PodDisruptionBudget n all short=pdb status:status
rbac.authorization.k8s.io/v1
 clusterrolebindings ClusterRoleBinding c all
 clusterroles ClusterRole c all
 rolebindings RoleBinding n all
 roles Role n all
resource.k8s.io/v1
 deviceclasses DeviceClass c all
 resourceclaims ResourceClaim n all status:status
 resourceclaimtemplates ResourceClaimTemplate n all
 resourceslices ResourceSlice c all
scheduling.k8s.io/v1
 priorityclasses PriorityClass c all short=pc
storage.k8s.io/v1
 csidrivers CSIDriver c all
 csinodes CSINode c all
 csistoragecapacities CSIStorageCapacity n all
 storageclasses StorageClass c all short=sc
 volumeattachments VolumeAttachment c all status:status
 volumeattributesclasses VolumeAttributesClass c all short=vac
"""


def _subresource(words: str, group: str, version: str, kind: str) -> SubresourceInfo:
    name, verbs, *rest = words.split(":")
    if len(rest) > 1:
        group, version = rest[1].split("/")
    return SubresourceInfo(name, rest[0] if rest else kind, group, version, _VERB_SETS[verbs])


def _resource(group: str, version: str, words: list[str]) -> ResourceInfo:
    plural, kind, scope, verbs, *rest = words
    options = dict(word.split("=") for word in rest if "=" in word)
    storage_group, storage_version = _STORED_AS.get((group, plural), (group, version))
    return ResourceInfo(
        group=group,
        version=version,
        kind=kind,
        plural=plural,
        singular=options.get("singular", ""),
        short_names=tuple(options["short"].split(",")) if "short" in options else (),
        namespaced=scope == "n",
        verbs=_VERB_SETS[verbs],
        categories=tuple(options["cat"].split(",")) if "cat" in options else (),
        subresources=tuple(_subresource(word, group, version, kind) for word in rest if "=" not in word),
        list_kind=options.get("list", ""),
        storage_group=storage_group,
        storage_version=storage_version,
        etcd_prefix=f"{STORAGE_ROOT}/{_PREFIXES.get((group, plural), plural)}",
    )


def _parse(table: str) -> Iterable[ResourceInfo]:
    group = version = ""
    for line in table.strip("\n").replace("\n   ", " ").split("\n"):
        if line.startswith(" "):
            yield _resource(group, version, line.split())
        else:
            group, _, version = line.rpartition("/")


RESOURCES: tuple[ResourceInfo, ...] = tuple(_parse(_TABLE))

_BY_PLURAL = MappingProxyType({(one.group, one.version, one.plural): one for one in RESOURCES})
_BY_KIND = MappingProxyType({one.gvk: one for one in RESOURCES})


def find(group: str, version: str, plural: str) -> ResourceInfo | None:
    return _BY_PLURAL.get((group, version, plural))


def find_kind(group: str, version: str, kind: str) -> ResourceInfo | None:
    return _BY_KIND.get(GroupVersionKind(group, version, kind))


def require(api_version: str, plural: str) -> ResourceInfo:
    """The built-in resource a caller knows to exist: `require("apps/v1", "deployments")`; KeyError if it does not."""
    group, _, version = api_version.rpartition("/")
    return _BY_PLURAL[group, version, plural]


def versions(group: str) -> tuple[str, ...]:
    """The served versions of a group, the preferred one first; empty for an unknown group."""
    return tuple(one.version for one in GROUP_VERSIONS if one.group == group)
