"""The plugins. Most clusters have no policies: what evaluates them is loaded with the first that there is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from apiserver.admission.chain import Plugin
from apiserver.admission.policies.invocations import Invocations
from apiserver.admission.policies.store import Store
from apiserver.ports import AdmissionRequest, Authorizer, Objects
from apiserver.registry.catalog import Catalog

if TYPE_CHECKING:
    from apiserver.admission.policies.validating import Enforcement, ValidatingPolicy

JSON = dict[str, Any]


def _validating_policy(obj: JSON) -> ValidatingPolicy:
    from apiserver.admission.policies.validating import ValidatingPolicy

    return ValidatingPolicy(obj)


class ValidatingPolicies(Plugin):
    """Costs a look into a dictionary where no policy's rules match."""

    name: ClassVar[str] = "ValidatingAdmissionPolicy"

    def __init__(self, objects: Objects, catalog: Catalog, authorizer: Authorizer) -> None:
        self._store = Store(objects, catalog, "validatingadmissionpolicies", _validating_policy)
        self._invocations = Invocations(objects, catalog, self._store)
        self._authorizer = authorizer
        self._enforcement: Enforcement | None = None

    async def validate(self, request: AdmissionRequest) -> None:
        if not self._store.candidates(request)[0]:
            return
        if self._enforcement is None:
            from apiserver.admission.policies.validating import Enforcement

            self._enforcement = Enforcement(self._invocations, self._authorizer)
        await self._enforcement.validate(request)


def makers(objects: Objects, catalog: Catalog, authorizer: Authorizer) -> Mapping[str, Callable[[], Plugin]]:
    """Of both plugins, for the chain."""
    return {ValidatingPolicies.name: lambda: ValidatingPolicies(objects, catalog, authorizer)}
