"""OwnerReferencesPermissionEnforcement: nobody has the garbage collector delete what he could not delete himself.

Off by default, as in upstream.
"""

from __future__ import annotations

from typing import Any, ClassVar

from apimachinery import resources
from apimachinery.gvk import split_api_version
from apiserver.admission.chain import Plugin, refuse
from apiserver.ports import JSON, AdmissionRequest, Attributes, Authorizer, Operation, Verdict


class OwnerReferencesPermissionEnforcement(Plugin):
    name: ClassVar[str] = "OwnerReferencesPermissionEnforcement"
    operations: ClassVar[frozenset[Operation]] = frozenset({Operation.CREATE, Operation.UPDATE})

    def __init__(self, authorizer: Authorizer) -> None:
        self._authorizer = authorizer

    async def validate(self, request: AdmissionRequest) -> None:
        if request.obj is None:
            return
        new, old = _owners(request.obj), _owners(request.old)
        if new == old:
            return
        if request.operation is Operation.UPDATE:
            await self._check_deletion(request)
        known = [one for one in old if one.get("blockOwnerDeletion")]
        for owner in new:
            if owner.get("blockOwnerDeletion") and owner not in known:
                await self._check_blocking(request, owner)

    async def _check_deletion(self, request: AdmissionRequest) -> None:
        question = Attributes(
            request.user,
            "delete",
            group=request.info.group,
            version=request.info.version,
            resource=request.info.plural,
            namespace=request.namespace,
            name=request.name,
        )
        verdict, reason = await self._authorizer.authorize(question)
        if verdict is not Verdict.ALLOW:
            raise refuse(request, f"cannot set an ownerRef on a resource you can't delete: {reason}, <nil>")

    async def _check_blocking(self, request: AdmissionRequest, owner: dict[str, Any]) -> None:
        group, version = split_api_version(owner.get("apiVersion") or "")
        info = resources.find_kind(group, version, owner.get("kind") or "")
        start = "cannot set blockOwnerDeletion"
        if info is None:
            raise refuse(request, f"{start} in this case because cannot find RESTMapping for the owner's kind")
        question = Attributes(
            request.user,
            "update",
            group=group,
            version=version,
            resource=info.plural,
            subresource="finalizers",
            namespace=request.namespace if info.namespaced else "",
            name=owner.get("name") or "",
        )
        verdict, reason = await self._authorizer.authorize(question)
        if verdict is not Verdict.ALLOW:
            why = f"if an ownerReference refers to a resource you can't set finalizers on: {reason}, <nil>"
            raise refuse(request, f"{start} {why}")


def _owners(obj: JSON | None) -> list[dict[str, Any]]:
    return list(((obj or {}).get("metadata") or {}).get("ownerReferences") or ())
