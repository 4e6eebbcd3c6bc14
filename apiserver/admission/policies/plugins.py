"""The plugins. Most clusters have no policies: what evaluates them is loaded with the first that there is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from apiserver.admission.chain import Plugin
from apiserver.admission.policies.invocations import Invocations
from apiserver.admission.policies.store import Store
from apiserver.admission.webhooks import Turn, encoded
from apiserver.ports import AdmissionRequest, Authorizer, Objects
from apiserver.registry.catalog import Catalog

if TYPE_CHECKING:
    from apiserver.admission.policies.mutating import MutatingPolicy, Mutations
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


def _mutating_policy(obj: JSON) -> MutatingPolicy:
    from apiserver.admission.policies.mutating import MutatingPolicy

    return MutatingPolicy(obj)


class MutatingPolicies(Plugin):
    """As the other; looks a second time where something was changed after its first look."""

    name: ClassVar[str] = "MutatingAdmissionPolicy"

    def __init__(self, objects: Objects, catalog: Catalog, authorizer: Authorizer) -> None:
        self._store = Store(objects, catalog, "mutatingadmissionpolicies", _mutating_policy)
        self._invocations = Invocations(objects, catalog, self._store)
        self._authorizer = authorizer
        self._mutations: Mutations | None = None

    async def mutate(self, request: AdmissionRequest) -> None:
        if not self._store.candidates(request)[0]:
            return
        if self._mutations is None:
            from apiserver.admission.policies.mutating import Mutations

            self._mutations = Mutations(self._invocations, self._authorizer)
        turn: Turn = request.memory.setdefault(self.name, Turn())
        if request.again and turn.output != encoded(request.obj):
            turn.all_again()
        await self._mutations.mutate(request, turn)


def makers(objects: Objects, catalog: Catalog, authorizer: Authorizer) -> Mapping[str, Callable[[], Plugin]]:
    """Of both plugins, for the chain."""
    return {
        ValidatingPolicies.name: lambda: ValidatingPolicies(objects, catalog, authorizer),
        MutatingPolicies.name: lambda: MutatingPolicies(objects, catalog, authorizer),
    }
