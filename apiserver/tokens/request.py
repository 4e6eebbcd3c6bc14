"""TokenRequest: `create serviceaccounts/token`, as the kubelet and `kubectl create token` ask it."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass

from apimachinery import errors, timestamps
from apimachinery.fields import FieldError, Path, invalid
from apimachinery.resources import ResourceInfo
from apiserver.authn import jwt
from apiserver.authn.service_account import resource
from apiserver.ports import JSON, Admission, AdmissionRequest, Call, Objects, Operation
from apiserver.tokens.claims import Bound, Lifetime, claims
from component_base.clock import Clock
from component_base.rng import Rng

GROUP = "authentication.k8s.io"
DEFAULT_SECONDS = 3600
MINIMUM_SECONDS = 600
MAXIMUM_SECONDS = 1 << 32
#: What the ServiceAccount admission plugin asks for; only this number is extended, since no person chooses it.
INJECTED_SECONDS = 3607
EXTENDED_SECONDS = 365 * 24 * 3600


@dataclass(frozen=True, slots=True)
class Issuer:
    """Who signs, for which audiences by default, and within which limits; `maximum` 0 means none."""

    name: str
    key: jwt.PrivateKey
    audiences: Sequence[str]
    maximum: int = 0
    extend: bool = True


class TokenRequests:
    """`admission` sees each request: what nodes may ask for is decided there."""

    def __init__(
        self, issuer: Issuer, objects: Objects, clock: Clock, rng: Rng, admission: Admission | None = None
    ) -> None:
        self._issuer = issuer
        self._admission = admission
        self._objects = objects
        self._clock = clock
        self._rng = rng

    async def __call__(self, call: Call, body: JSON) -> JSON:
        metadata, spec = dict(body.get("metadata") or {}), dict(body.get("spec") or {})
        self._check_names(call, metadata)
        account = await self._require(resource("serviceaccounts"), call.namespace, call.name)
        uid = account["metadata"]["uid"]
        if metadata.get("uid") not in (None, "", uid):
            asked = metadata["uid"]
            why = f"the UID in the token request ({asked}) does not match the UID of the service account ({uid})"
            raise errors.conflict("TokenRequest", GROUP, call.name, why)
        spec["audiences"] = list(spec.get("audiences") or self._issuer.audiences)
        spec.setdefault("expirationSeconds", DEFAULT_SECONDS)
        _check_duration(spec["expirationSeconds"])
        if self._admission is not None:
            asked = AdmissionRequest(
                Operation.CREATE, call.info, "token", call.namespace, call.name, body, None, call.user
            )
            asked.kind = ("authentication.k8s.io", "v1", "TokenRequest")
            await self._admission.mutate(asked)
            await self._admission.validate(asked)
        bound = await self._bound(call, spec.get("boundObjectRef"))
        if self._issuer.maximum and spec["expirationSeconds"] > self._issuer.maximum:
            spec["expirationSeconds"] = self._issuer.maximum
        now = self._clock.now()
        token = self._sign(account, bound, spec, now)
        spec.setdefault("boundObjectRef", None)
        return {
            "kind": "TokenRequest",
            "apiVersion": f"{GROUP}/v1",
            "metadata": {
                "name": call.name,
                "namespace": call.namespace,
                "uid": uid,
                "creationTimestamp": timestamps.format(now),
            },
            "spec": spec,
            "status": {
                "token": token,
                "expirationTimestamp": timestamps.format(int(now) + spec["expirationSeconds"]),
            },
        }

    def _sign(self, account: JSON, bound: Bound, spec: JSON, now: float) -> str:
        seconds, warn_after = spec["expirationSeconds"], 0
        ours = set(spec["audiences"]) <= set(self._issuer.audiences)
        if self._issuer.extend and bound.pod is not None and seconds == INJECTED_SECONDS and ours:
            seconds, warn_after = EXTENDED_SECONDS, seconds
        identifier = str(uuid.UUID(int=self._rng.getrandbits(128), version=4))
        lifetime = Lifetime(now, seconds, warn_after)
        return jwt.sign(
            claims(self._issuer.name, account, bound, lifetime, spec["audiences"], identifier), self._issuer.key
        )

    @staticmethod
    def _check_names(call: Call, metadata: JSON) -> None:
        found: list[FieldError] = []
        if metadata.get("name") not in (None, "", call.name):
            detail = "must match the service account name if specified"
            found = [invalid(Path("metadata").child("name"), metadata["name"], detail)]
        elif metadata.get("namespace") not in (None, "", call.namespace):
            detail = "must match the service account namespace if specified"
            found = [invalid(Path("metadata").child("namespace"), metadata["namespace"], detail)]
        if found:
            raise errors.invalid(GROUP, "TokenRequest", call.name, found)

    async def _bound(self, call: Call, wanted: JSON | None) -> Bound:
        if not wanted:
            return Bound()
        api_version, kind, name = (wanted.get(key) or "" for key in ("apiVersion", "kind", "name"))
        if api_version != "v1" or kind not in ("Pod", "Node", "Secret"):
            group, _, version = api_version.rpartition("/")
            raise errors.bad_request(f"cannot bind token to object of type {group}/{version}, Kind={kind}")
        info = resource(f"{kind.lower()}s")
        obj = await self._require(info, call.namespace if info.namespaced else "", name)
        if kind == "Pod" and obj["spec"].get("serviceAccountName") != call.name:
            raise errors.bad_request(
                f'cannot bind token for serviceaccount "{call.name}" to pod running with different serviceaccount name.'
            )
        uid = obj["metadata"]["uid"]
        if wanted.get("uid") not in (None, "", uid):
            raise errors.conflict(
                kind,
                "",
                name,
                f"the UID in the bound object reference ({wanted['uid']}) does not match the UID in record. "
                "The object might have been deleted and then recreated",
            )
        if kind == "Node":
            return Bound(node=obj)
        return Bound(secret=obj) if kind == "Secret" else Bound(pod=obj, node=await self._node_of(obj))

    async def _node_of(self, pod: JSON) -> JSON | None:
        """A node that is gone is still named, so that the token tells where the pod was."""
        name = pod["spec"].get("nodeName")
        if not name:
            return None
        info = resource("nodes")
        node = self._objects.get(info, "", name) or await self._objects.get_latest(info, "", name)
        return node if node is not None else {"metadata": {"name": name}}

    async def _require(self, info: ResourceInfo, namespace: str, name: str) -> JSON:
        """From the store: a token for something that was just created or deleted must be right."""
        found = await self._objects.get_latest(info, namespace, name)
        if found is None:
            raise errors.not_found(info.plural, info.group, name)
        return found


def _check_duration(seconds: int) -> None:
    path = Path("spec").child("expirationSeconds")
    if seconds < MINIMUM_SECONDS:
        found = invalid(path, seconds, "may not specify a duration less than 10 minutes")
    elif seconds > MAXIMUM_SECONDS:
        found = invalid(path, seconds, "may not specify a duration larger than 2^32 seconds")
    else:
        return
    raise errors.invalid(GROUP, "TokenRequest", "", [found])
