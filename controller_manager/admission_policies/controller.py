"""Writes `status.typeChecking` and `status.observedGeneration` of ValidatingAdmissionPolicies.

Policies are rare and change rarely: what is needed of discovery and OpenAPI is fetched for each change, and the
language is loaded for the first.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from apimachinery.errors import StatusError
from controller_manager.views import AnyObject
from kubeclient.informer import Informers
from kubeclient.rest import RestClient

if TYPE_CHECKING:
    from apimachinery.cel.openapi import SchemaTypes
    from apimachinery.cel.types import Type

JSON = dict[str, Any]
POLICIES = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies"
MANAGER = "validatingadmissionpolicy-status"
_APPLY = "application/apply-patch+yaml"


class PolicyStatusController:
    """A policy that has been looked at is not looked at again until its generation changes."""

    name = "validatingadmissionpolicy-status"

    def __init__(self, informers: Informers, client: RestClient) -> None:
        self._client = client
        self._policies = informers.of(POLICIES, AnyObject)

    def watch(self, enqueue: Callable[[str], None]) -> None:
        self._policies.add_key_handler(enqueue)

    async def sync(self, key: str, now: float) -> float | None:
        del now
        if self._policies.get(key) is None:
            return None
        try:
            policy = await self._client.get(f"{POLICIES}/{key}")
        except StatusError as error:
            if error.code == 404:
                return None
            raise
        generation = policy["metadata"].get("generation") or 0
        if generation <= ((policy.get("status") or {}).get("observedGeneration") or 0):
            return None
        found = await self._warnings(policy)
        checking = {"expressionWarnings": found} if found else {}
        body = {
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "ValidatingAdmissionPolicy",
            "metadata": {"name": key},
            "status": {"observedGeneration": generation, "typeChecking": checking},
        }
        params = {"fieldManager": MANAGER, "force": "true"}
        await self._client.patch(f"{POLICIES}/{key}/status", body, _APPLY, params)
        return None

    async def _warnings(self, policy: JSON) -> list[JSON]:
        from apimachinery.cel.openapi import SchemaTypes
        from controller_manager.admission_policies.checking import named_resources, warnings

        known, fetched = SchemaTypes(), set[str]()
        kinds: dict[tuple[str, str, str], Type] = {}
        for group, version, plural in named_resources(policy):
            for kind in await self._kinds(group, version, plural):
                what = await self._type(known, fetched, group, version, kind)
                if what is not None:
                    kinds[group, version, kind] = what
        param_kind, params = policy["spec"].get("paramKind"), None
        if param_kind is not None:
            group, _, version = param_kind["apiVersion"].rpartition("/")
            params = await self._type(known, fetched, group, version, param_kind["kind"])
        return warnings(policy, kinds.items(), params, known)

    async def _kinds(self, group: str, version: str, plural: str) -> list[str]:
        listed = await self._read(f"/apis/{group}/{version}" if group else f"/api/{version}")
        return [one["kind"] for one in listed.get("resources") or () if one["name"] == plural]

    async def _type(self, known: SchemaTypes, fetched: set[str], group: str, version: str, kind: str) -> Type | None:
        path = f"/openapi/v3/apis/{group}/{version}" if group else f"/openapi/v3/api/{version}"
        if path not in fetched:
            fetched.add(path)
            document = await self._read(path)
            known.add((document.get("components") or {}).get("schemas") or {})
        return known.kind(group, version, kind)

    async def _read(self, path: str) -> JSON:
        """Nothing where there is no such group."""
        try:
            found: JSON = json.loads(await self._client.get_bytes(path))
        except StatusError as error:
            if error.code in {403, 404}:
                return {}
            raise
        return found
