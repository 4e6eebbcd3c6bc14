"""ValidatingAdmissionPolicies: expressions that must be true, or else the request is refused, warned of or audited."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from apimachinery.cel import types
from apimachinery.cel.admission import Compiled
from apimachinery.cel.composition import Expressions
from apimachinery.cel.environment import Budget
from apimachinery.cel.errors import CelError, OutOfBudget
from apimachinery.errors import StatusError
from apiserver.admission.chain import refuse
from apiserver.admission.policies.bindings import Answers, Bindings, bindings, settled
from apiserver.admission.policies.invocations import Invocation, Invocations
from apiserver.admission.policies.store import Policy
from apiserver.admission.webhooks import seen_as
from apiserver.ports import AdmissionRequest, Authorizer

log = logging.getLogger(__name__)

JSON = dict[str, Any]
LONGEST_MESSAGE = 5 * 1024
LONGEST_ANNOTATION = 10 * 1024
FAILURES = "validation.policy.admission.k8s.io/validation_failure"
_CODES = {"Forbidden": 403, "Unauthorized": 401, "RequestEntityTooLarge": 413}


@dataclass(frozen=True, slots=True)
class Decision:
    """What one validation came to; an empty message admits."""

    message: str = ""
    reason: str = ""


@dataclass(slots=True)
class Verdict:
    """What a policy says of a request. `annotations` are for the audit log, `failures` why some could not be made."""

    decisions: list[Decision] = field(default_factory=list)
    annotations: dict[str, str] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)


class ValidatingPolicy(Policy):
    """A policy with its validations and annotations."""

    def __init__(self, obj: JSON) -> None:
        super().__init__(obj)
        self._compiled: _Programs | None = None

    @property
    def programs(self) -> _Programs:
        if self._compiled is None:
            self._compiled = _Programs(self.spec)
        return self._compiled

    def judge(self, known: Bindings) -> Verdict:
        """May raise `Undecided`; then it has to be called again once the answer is known."""
        if self.conditions:
            match = self.conditions.evaluate(known, fail=self.fails)
            if match.error:
                return Verdict([Decision(match.error)])
            if not match.matches:
                return Verdict()
        programs, verdict = self.programs, Verdict()
        budget = Budget()
        bound = programs.expressions.bound(known.plus, budget)
        try:
            found = [_result(one, bound, budget) for one in programs.validations]
        except OutOfBudget as error:
            return Verdict([self._failed(str(error))])
        for index, result in enumerate(found):
            verdict.decisions.append(self._decision(index, result, bound, budget))
        self._annotate(known, verdict)
        return verdict

    def _failed(self, message: str) -> Decision:
        return Decision(message) if self.fails else Decision()

    def _decision(self, index: int, result: Any, bound: Mapping[str, Any], budget: Budget) -> Decision:
        if isinstance(result, CelError):
            return self._failed(str(result))
        if result is True:
            return Decision()
        raw: JSON = self.spec["validations"][index]
        message = ""
        expression = self.programs.messages[index]
        if expression is not None:
            try:
                message = str(expression.run(bound, budget)).strip()
            except OutOfBudget as error:
                return self._failed(f"failed messageExpression: {error}")
            except CelError as error:
                log.debug("messageExpression of policy %s: %s", self.name, error)
            if len(message.encode()) > LONGEST_MESSAGE or "\n" in message:
                message = ""
        message = message or (raw.get("message") or "").strip()
        reason = str(raw.get("reason") or "Invalid")
        return Decision(message or f"failed expression: {raw['expression'].strip()}", reason)

    def _annotate(self, known: Bindings, verdict: Verdict) -> None:
        programs, budget = self.programs, Budget()
        if not programs.annotations:
            return
        bound = programs.expressions.bound(known.plus, budget)
        for raw, one in zip(self.spec["auditAnnotations"], programs.annotations, strict=True):
            try:
                value = _result(one, bound, budget)
            except OutOfBudget as error:
                verdict.decisions = [self._failed(str(error))]
                return
            if isinstance(value, CelError):
                if self.fails:
                    verdict.failures.append(str(value))
            elif isinstance(value, str) and value.strip():
                verdict.annotations[raw["key"]] = value.strip()[:LONGEST_ANNOTATION]


def _result(one: Compiled | None, bound: Mapping[str, Any], budget: Budget) -> Any:
    """The value, or the CelError that came instead. Raises OutOfBudget."""
    if one is None:
        return None
    try:
        return one.run(bound, budget)
    except OutOfBudget:
        raise
    except CelError as error:
        return error


class _Programs:
    def __init__(self, spec: JSON) -> None:
        self.expressions = Expressions(spec)
        validations, annotations = spec.get("validations") or (), spec.get("auditAnnotations") or ()
        compile_all = self.expressions.compile
        self.validations = compile_all([one["expression"] for one in validations], (types.BOOL,))
        messages = [one.get("messageExpression") or "" for one in validations]
        self.messages = compile_all(messages, (types.STRING,), authorizer=False)
        values = [one["valueExpression"] for one in annotations]
        self.annotations = compile_all(values, (types.STRING, types.NULL), authorizer=False)


class Enforcement:
    """What the plugin does for requests that a policy may concern."""

    def __init__(self, invocations: Invocations[ValidatingPolicy], authorizer: Authorizer) -> None:
        self._invocations = invocations
        self._authorizer = authorizer

    async def validate(self, request: AdmissionRequest) -> None:
        denials: list[tuple[Invocation[ValidatingPolicy], Decision]] = []
        annotations: dict[str, list[str]] = {}
        answers = Answers(self._authorizer)
        async for invocation in self._invocations.of(request):
            if invocation.problem:
                if invocation.policy.fails:
                    denials.append((invocation, Decision(invocation.problem)))
                continue
            verdict = await self._judge(invocation, request, answers)
            denials += _act(invocation, verdict, request)
            for key, value in verdict.annotations.items():
                values = annotations.setdefault(f"{invocation.policy.name}/{key}", [])
                if value not in values:
                    values.append(value)
        request.annotations.update({key: ", ".join(values) for key, values in annotations.items()})
        if denials:
            raise _denial(request, *denials[0])

    async def _judge(
        self, invocation: Invocation[ValidatingPolicy], request: AdmissionRequest, answers: Answers
    ) -> Verdict:
        namespace: JSON | None = None
        if request.namespace and request.info.group_resource != "namespaces":
            namespace = await self._invocations.namespace(request.namespace)
        seen, policy = invocation.seen, invocation.policy
        obj, old = await seen_as(seen, request)
        known = bindings(request, seen, obj, old, answers, lambda: namespace)
        if policy.param_kind is not None:
            known["params"] = invocation.params
        return await settled(lambda: policy.judge(known), answers)


def _act(
    invocation: Invocation[ValidatingPolicy], verdict: Verdict, request: AdmissionRequest
) -> list[tuple[Invocation[ValidatingPolicy], Decision]]:
    """Do what the binding says about what failed; what denies is returned."""
    binding = invocation.binding
    assert binding is not None
    denials = []
    for index, decision in enumerate(verdict.decisions):
        if not decision.message:
            continue
        if "Deny" in binding.actions:
            denials.append((invocation, decision))
        if "Audit" in binding.actions:
            failure = {
                "message": decision.message,
                "policy": invocation.policy.name,
                "binding": binding.name,
                "expressionIndex": index,
                "validationActions": list(binding.actions),
            }
            request.annotations[FAILURES] = orjson.dumps([failure]).decode()
        if "Warn" in binding.actions:
            what = f"ValidatingAdmissionPolicy '{invocation.policy.name}' with binding '{binding.name}'"
            request.warnings.append(f"Validation failed for {what}: {decision.message}")
    return denials + [(invocation, Decision(text)) for text in verdict.failures]


def _denial(request: AdmissionRequest, invocation: Invocation[ValidatingPolicy], decision: Decision) -> StatusError:
    what = f"ValidatingAdmissionPolicy '{invocation.policy.name}'"
    if invocation.binding is not None:
        what += f" with binding '{invocation.binding.name}'"
    message = f"{what} denied request: {decision.message}"
    found = refuse(request, message)
    reason = decision.reason or "Invalid"
    details = {**(found.details or {}), "causes": [{"message": message}]}
    return StatusError(_CODES.get(reason, 422), reason, found.message, details)
