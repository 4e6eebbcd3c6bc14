"""Nobody gives away rights that he does not hold, unless he may `escalate` the role or `bind` it.

Upstream checks this where roles are stored; here it is a validating admission plugin with the same answers.
"""

from __future__ import annotations

from apimachinery import errors
from apimachinery.errors import StatusError
from apimachinery.fields import quote
from apiserver.authz.rbac import GROUP, MASTERS, RbacIndex, aggregate
from apiserver.authz.rules import ALL, Rule, missing, quoted_list
from apiserver.ports import JSON, AdmissionRequest, Attributes, Authorizer, Operation, User, Verdict

EVERYTHING = (Rule((ALL,), (ALL,), (ALL,)), Rule((ALL,), paths=(ALL,)))
ROLES = ("roles", "clusterroles")
BINDINGS = ("rolebindings", "clusterrolebindings")
_COLLECTORS_FIELDS = ("ownerReferences", "finalizers", "selfLink", "managedFields", "resourceVersion", "generation")


class EscalationCheck:
    """The admission plugin; present whenever RBAC is one of the authorization modes."""

    def __init__(self, index: RbacIndex, authorizer: Authorizer) -> None:
        self._index = index
        self._authorizer = authorizer

    async def mutate(self, request: AdmissionRequest) -> None:
        """Changes nothing."""

    async def validate(self, request: AdmissionRequest) -> None:
        if request.info.group != GROUP or request.subresource or request.obj is None:
            return
        if request.operation not in (Operation.CREATE, Operation.UPDATE) or MASTERS in request.user.groups:
            return
        if request.old is not None and _only_for_the_collector(request.obj, request.old):
            return
        if request.info.plural in ROLES:
            await self._check_role(request, request.obj)
        elif request.info.plural in BINDINGS:
            await self._check_binding(request, request.obj)

    async def _check_role(self, request: AdmissionRequest, role: JSON) -> None:
        name = "" if request.operation is Operation.CREATE else request.name  # as upstream: a new role has none yet
        if await self._may(request, "escalate", request.info.plural, name):
            return
        self._confirm(request, [Rule.of(rule) for rule in role.get("rules") or ()])
        if _aggregates(role) or _aggregates(request.old):
            try:
                self._confirm(request, EVERYTHING)
            except StatusError:
                raise self._refusal(request, "must have cluster-admin privileges to use the aggregationRule") from None

    async def _check_binding(self, request: AdmissionRequest, binding: JSON) -> None:
        role = binding.get("roleRef") or {}
        kind, name = role.get("kind", ""), role.get("name", "")
        if await self._may(request, "bind", f"{kind.lower()}s", name):
            return
        self._confirm(request, self._index.rules_of(kind, request.namespace, name))

    async def _may(self, request: AdmissionRequest, verb: str, plural: str, name: str) -> bool:
        question = Attributes(
            request.user, verb, group=GROUP, version=ALL, resource=plural, namespace=request.namespace, name=name
        )
        verdict, _ = await self._authorizer.authorize(question)
        return verdict is Verdict.ALLOW

    def _confirm(self, request: AdmissionRequest, wanted: list[Rule] | tuple[Rule, ...]) -> None:
        held, problems = self._index.rules_for(request.user, request.namespace)
        lacking = missing(held, wanted)
        if not lacking:
            return
        text = "\n".join(sorted({str(rule) for rule in lacking}))
        why = f"{_person(request.user)} is attempting to grant RBAC permissions not currently held:\n{text}"
        if problems:
            why += f"; resolution errors: {aggregate(problems)}"
        raise self._refusal(request, why)

    @staticmethod
    def _refusal(request: AdmissionRequest, why: str) -> StatusError:
        name = request.name or (request.obj or {}).get("metadata", {}).get("name", "")
        return errors.forbidden(request.info.plural, GROUP, name, why)


def _person(user: User) -> str:
    return f"user {quote(user.name)} (groups={quoted_list(user.groups)})"


def _aggregates(role: JSON | None) -> bool:
    return bool(role and (role.get("aggregationRule") or {}).get("clusterRoleSelectors"))


def _only_for_the_collector(new: JSON, old: JSON) -> bool:
    """Whether nothing differs but the fields that the garbage collector changes before it deletes an object."""

    def rest(obj: JSON) -> JSON:
        metadata = {key: value for key, value in obj["metadata"].items() if key not in _COLLECTORS_FIELDS}
        return {**obj, "metadata": metadata}

    return rest(new) == rest(old)
