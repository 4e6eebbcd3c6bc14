"""ServiceAccount: each pod runs as an account of its namespace and, unless it says no, gets a token of it mounted."""

from __future__ import annotations

from typing import Any, ClassVar

from apimachinery.errors import StatusError, not_found
from apiserver.admission.chain import CORE, Plugin, known, pods_only, refuse
from apiserver.authz import references
from apiserver.ports import JSON, AdmissionRequest, Objects, Operation
from component_base.clock import Clock
from component_base.flags import parse_boolean
from component_base.rng import Rng, suffix

DEFAULT_ACCOUNT = "default"
TOKEN_FOLDER = "/var/run/secrets/kubernetes.io/serviceaccount"
VOLUME = "kube-api-access"
ENFORCE_ANNOTATION = "kubernetes.io/enforce-mountable-secrets"
ATTEMPTS = 10  # for the default account, which a controller creates a moment after its namespace


class ServiceAccountAdmission(Plugin):
    name: ClassVar[str] = "ServiceAccount"
    handles: ClassVar[frozenset[tuple[str, str]] | None] = pods_only()
    operations: ClassVar[frozenset[Operation]] = frozenset({Operation.CREATE, Operation.UPDATE})

    def __init__(self, objects: Objects, clock: Clock, rng: Rng) -> None:
        self._objects = objects
        self._clock = clock
        self._rng = rng
        self._accounts = known(CORE, "v1", "serviceaccounts")

    async def mutate(self, request: AdmissionRequest) -> None:
        if request.subresource or request.operation is not Operation.CREATE or request.obj is None:
            return
        pod = request.obj
        if is_mirror(pod):
            check_mirror(request, pod)
            return
        spec = pod.setdefault("spec", {})
        name = spec.get("serviceAccountName") or DEFAULT_ACCOUNT
        spec["serviceAccountName"] = spec["serviceAccount"] = name
        account = await self._account(request, name)
        if wants_token(account, spec):
            self._mount_token(spec)
        if not spec.get("imagePullSecrets") and account.get("imagePullSecrets"):
            spec["imagePullSecrets"] = [{"name": one.get("name", "")} for one in account["imagePullSecrets"]]

    async def validate(self, request: AdmissionRequest) -> None:
        pod = request.obj
        if pod is None:
            return
        if request.operation is Operation.UPDATE and request.subresource == "ephemeralcontainers":
            account = await self._account(request, pod["spec"].get("serviceAccountName") or "")
            if enforces_secrets(account):
                limit_containers(request, account, pod["spec"].get("ephemeralContainers") or [], "ephemeral container")
            return
        if request.subresource or request.operation is not Operation.CREATE:
            return
        if is_mirror(pod):
            check_mirror(request, pod)
            return
        name = pod["spec"].get("serviceAccountName")
        if not name:
            why = f"no service account specified for pod {request.namespace}/{pod['metadata'].get('name', '')}"
            raise refuse(request, why)
        account = await self._account(request, name)
        if enforces_secrets(account):
            limit_secrets(request, account, pod["spec"])

    async def _account(self, request: AdmissionRequest, name: str) -> JSON:
        found = self._objects.get(self._accounts, request.namespace, name)
        if found is not None:
            return found
        attempts = ATTEMPTS if name == DEFAULT_ACCOUNT else 1
        for attempt in range(attempts):
            if attempt:
                await self._clock.sleep(self._rng.uniform(0.1, 0.2))
            try:
                found = await self._objects.get_latest(self._accounts, request.namespace, name)
            except StatusError as error:
                raise refuse(request, _lookup_failed(request.namespace, name, error.message)) from error
            if found is not None:
                return found
        absent = not_found("serviceaccount", "", name).message
        raise refuse(request, _lookup_failed(request.namespace, name, absent))

    def _mount_token(self, spec: dict[str, Any]) -> None:
        volumes = spec.get("volumes") or []
        present = next((one["name"] for one in volumes if one.get("name", "").startswith(f"{VOLUME}-")), "")
        name = present or f"{VOLUME}-{suffix(self._rng)}"
        mounted = False
        for container in (*(spec.get("initContainers") or ()), *(spec.get("containers") or ())):
            mounts = container.get("volumeMounts") or []
            if any(mount.get("mountPath") == TOKEN_FOLDER for mount in mounts):
                continue
            mount = {"name": name, "readOnly": True, "mountPath": TOKEN_FOLDER}
            container["volumeMounts"] = [*mounts, mount]
            mounted = True
        if mounted and not present:
            spec["volumes"] = [*volumes, {"name": name, "projected": token_volume()}]


def token_volume() -> dict[str, Any]:
    """All defaults are written out, since none are applied after admission."""
    namespace = {"path": "namespace", "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}}
    authority = {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}
    return {
        "sources": [
            {"serviceAccountToken": {"expirationSeconds": 3607, "path": "token"}},
            {"configMap": authority},
            {"downwardAPI": {"items": [namespace]}},
        ],
        "defaultMode": 0o644,
    }


def wants_token(account: JSON, spec: JSON) -> bool:
    """The pod's word counts before the account's."""
    for obj in (spec, account):
        if obj.get("automountServiceAccountToken") is not None:
            return bool(obj["automountServiceAccountToken"])
    return True


def is_mirror(pod: JSON) -> bool:
    return references.MIRROR in (pod.get("metadata", {}).get("annotations") or {})


def check_mirror(request: AdmissionRequest, pod: JSON) -> None:
    """A node's own pod must not lead it to objects of the API."""
    spec = pod.get("spec") or {}
    if spec.get("serviceAccountName"):
        raise refuse(request, "a mirror pod may not reference service accounts")
    if references.names(pod, "secrets"):
        raise refuse(request, "a mirror pod may not reference secrets")
    for volume in spec.get("volumes") or ():
        for source in (volume.get("projected") or {}).get("sources") or ():
            if source.get("serviceAccountToken") is not None:
                raise refuse(request, "a mirror pod may not use ServiceAccountToken volume projections")


def enforces_secrets(account: JSON) -> bool:
    text = (account["metadata"].get("annotations") or {}).get(ENFORCE_ANNOTATION, "")
    try:
        return parse_boolean(text)
    except ValueError:
        return False


def limit_secrets(request: AdmissionRequest, account: JSON, spec: JSON) -> None:
    name, allowed = account["metadata"]["name"], _mountable(account)
    for volume in spec.get("volumes") or ():
        secret = (volume.get("secret") or {}).get("secretName")
        if volume.get("secret") is not None and secret not in allowed:
            raise refuse(
                request,
                f'volume with secret.secretName="{secret}" is not allowed because '
                f"service account {name} does not reference that secret",
            )
    limit_containers(request, account, spec.get("initContainers") or [], "init container")
    limit_containers(request, account, spec.get("containers") or [], "container")
    pulls = {one.get("name") for one in account.get("imagePullSecrets") or ()}
    for index, pull in enumerate(spec.get("imagePullSecrets") or ()):
        if pull.get("name") not in pulls:
            raise refuse(
                request,
                f'imagePullSecrets[{index}].name="{pull.get("name", "")}" is not allowed because '
                f"service account {name} does not reference that imagePullSecret",
            )


def limit_containers(request: AdmissionRequest, account: JSON, containers: list[JSON], word: str) -> None:
    name, allowed = account["metadata"]["name"], _mountable(account)
    end = f"is not allowed because service account {name} does not reference that secret"
    for container in containers:
        for variable in container.get("env") or ():
            secret = (variable.get("valueFrom") or {}).get("secretKeyRef")
            if secret is not None and secret.get("name") not in allowed:
                where = f"{word} {container['name']} with envVar {variable['name']}"
                raise refuse(request, f'{where} referencing secret.secretName="{secret.get("name", "")}" {end}')
        for source in container.get("envFrom") or ():
            secret = source.get("secretRef")
            if secret is not None and secret.get("name") not in allowed:
                where = f"{word} {container['name']} with envFrom"
                raise refuse(request, f'{where} referencing secret.secretName="{secret.get("name", "")}" {end}')


def _mountable(account: JSON) -> set[str]:
    return {one.get("name", "") for one in account.get("secrets") or ()}


def _lookup_failed(namespace: str, name: str, why: str) -> str:
    return f"error looking up service account {namespace}/{name}: {why}"
