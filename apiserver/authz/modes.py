"""`--authorization-mode`: the authorizers in their order; members of system:masters are never asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from apiserver.authz.escalation import EscalationCheck
from apiserver.authz.node import NodeAuthorizer, node_of
from apiserver.authz.node_graph import NodeGraph
from apiserver.authz.rbac import MASTERS, RbacAuthorizer, RbacIndex
from apiserver.authz.rules import Rule
from apiserver.authz.webhook import WebhookAuthorizer
from apiserver.bootstrap.cluster_roles import rules_of
from apiserver.ports import Attributes, Authorizer, Objects, User, Verdict
from apiserver.webhooks.reviews import ReviewClient
from component_base.clock import Clock, SystemClock
from component_base.flags import FlagSet, Values

MODES = ("Node", "RBAC", "Webhook", "AlwaysAllow", "AlwaysDeny")
VERSIONS = ("v1", "v1beta1")


def declare(flags: FlagSet) -> None:
    flags.strings("authorization-mode", ("Node", "RBAC"), f"who decides, in this order: {', '.join(MODES)}")
    flags.string("authorization-webhook-config-file", "", "kubeconfig of the server that decides in the mode Webhook")
    flags.string("authorization-webhook-version", "v1beta1", "of the SubjectAccessReviews sent: v1 or v1beta1")
    flags.duration("authorization-webhook-cache-authorized-ttl", 300, "how long that server's yes is remembered")
    flags.duration("authorization-webhook-cache-unauthorized-ttl", 30, "how long its no is")


class ModeAuthorizer:
    """The first member with an opinion decides; the reasons of those without one are kept for the refusal."""

    def __init__(self, members: Sequence[Authorizer], rbac: RbacIndex | None = None) -> None:
        self._members = tuple(members)
        self._rbac = rbac

    async def authorize(self, attributes: Attributes) -> tuple[Verdict, str]:
        if MASTERS in attributes.user.groups:
            return Verdict.ALLOW, ""
        reasons = []
        for member in self._members:
            verdict, reason = await member.authorize(attributes)
            if verdict is not Verdict.NO_OPINION:
                return verdict, reason
            if reason:
                reasons.append(reason)
        return Verdict.NO_OPINION, "\n".join(reasons)

    def rules_for(self, user: User, namespace: str) -> UserRules:
        """What SelfSubjectRulesReview tells; `error` says why it may be incomplete."""
        problems = []
        held: list[Rule] = []
        if MASTERS in user.groups:
            held += [Rule(("*",), ("*",), ("*",)), Rule(("*",), paths=("*",))]
        incomplete = False
        if any(isinstance(member, NodeAuthorizer) for member in self._members) and node_of(user)[1]:
            incomplete = True
            problems.append("node authorizer does not support user rule resolution")
        if any(isinstance(member, WebhookAuthorizer) for member in self._members):
            incomplete = True
            problems.append("webhook authorizer does not support user rule resolution")
        if any(isinstance(member, Always) and member.verdict is Verdict.ALLOW for member in self._members):
            held += [Rule(("*",), ("*",), ("*",)), Rule(("*",), paths=("*",))]
        if self._rbac is not None:
            found, more = self._rbac.rules_for(user, namespace)
            held += found
            problems += more
        return UserRules(held, incomplete, ", ".join(problems))

    def escalation_check(self) -> EscalationCheck | None:
        """The admission plugin that RBAC needs; None without RBAC."""
        return None if self._rbac is None else EscalationCheck(self._rbac, self)


class UserRules:
    """All rules that a user holds in a namespace."""

    def __init__(self, rules: Sequence[Rule], incomplete: bool, error: str) -> None:
        self.rules = tuple(rules)
        self.incomplete = incomplete
        self.error = error

    def status(self) -> Mapping[str, Any]:
        """`status` of a SelfSubjectRulesReview."""
        resource_rules, path_rules = [], []
        for rule in self.rules:
            if rule.resources:
                stored = rule.as_object()
                resource_rules.append({key: value for key, value in stored.items() if key != "nonResourceURLs"})
            if rule.paths:
                path_rules.append({"verbs": list(rule.verbs), "nonResourceURLs": list(rule.paths)})
        status: dict[str, Any] = {
            "resourceRules": resource_rules,
            "nonResourceRules": path_rules,
            "incomplete": self.incomplete,
        }
        if self.error:
            status["evaluationError"] = self.error
        return status


class Always:
    """Says the same to everybody."""

    def __init__(self, verdict: Verdict) -> None:
        self.verdict = verdict

    async def authorize(self, attributes: Attributes) -> tuple[Verdict, str]:
        return self.verdict, "" if self.verdict is Verdict.ALLOW else "Everything is forbidden."


def build(values: Values, objects: Objects, clock: Clock | None = None) -> ModeAuthorizer:
    """Raises ValueError for a mode that is unknown or given twice, or a webhook's file that cannot be used."""
    modes: tuple[str, ...] = values["authorization-mode"]
    unknown = [mode for mode in modes if mode not in MODES]
    if unknown:
        raise ValueError(f"--authorization-mode: {unknown[0]!r} is not one of {', '.join(MODES)}")
    if len(set(modes)) != len(modes) or not modes:
        raise ValueError("--authorization-mode: name each mode once, and at least one")
    index = RbacIndex(objects) if "RBAC" in modes else None
    members: list[Authorizer] = []
    for mode in modes:
        if mode == "Node":
            members.append(NodeAuthorizer(NodeGraph(objects), rules_of("system:node")))
        elif mode == "RBAC":
            assert index is not None
            members.append(RbacAuthorizer(index))
        elif mode == "Webhook":
            members.append(_webhook(values, clock or SystemClock()))
        else:
            members.append(Always(Verdict.ALLOW if mode == "AlwaysAllow" else Verdict.DENY))
    return ModeAuthorizer(members, index)


def _webhook(values: Values, clock: Clock) -> WebhookAuthorizer:
    path, version = values["authorization-webhook-config-file"], values["authorization-webhook-version"]
    if not path:
        raise ValueError("--authorization-webhook-config-file is required in the mode Webhook")
    if version not in VERSIONS:
        raise ValueError(f"--authorization-webhook-version: {version!r} is not one of {', '.join(VERSIONS)}")
    seconds = (
        values["authorization-webhook-cache-authorized-ttl"],
        values["authorization-webhook-cache-unauthorized-ttl"],
    )
    return WebhookAuthorizer(ReviewClient(path, clock), version, clock, *seconds)
