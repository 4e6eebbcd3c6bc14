"""The flags of admission and the chain that they make, in upstream's order."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping

from apiserver.admission.certificates import (
    CertificateApproval,
    CertificateSigning,
    CertificateSubjectRestriction,
)
from apiserver.admission.chain import Chain, Plugin
from apiserver.admission.claim_resize import PersistentVolumeClaimResize
from apiserver.admission.class_defaults import DefaultIngressClass, DefaultStorageClass, StorageObjectInUseProtection
from apiserver.admission.external_ips import DenyServiceExternalIPs
from apiserver.admission.limit_ranger import LimitRanger
from apiserver.admission.namespace_lifecycle import NamespaceLifecycle
from apiserver.admission.node_restriction import NodeRestriction
from apiserver.admission.node_taints import TaintNodesByCondition
from apiserver.admission.owner_references import OwnerReferencesPermissionEnforcement
from apiserver.admission.pod_security import PodSecurity
from apiserver.admission.priority import Priority
from apiserver.admission.resource_quota import ResourceQuota
from apiserver.admission.runtime_class import RuntimeClass
from apiserver.admission.service_account import ServiceAccountAdmission
from apiserver.admission.tolerations import DefaultTolerationSeconds
from apiserver.authz.modes import ModeAuthorizer
from apiserver.ports import Objects
from component_base.clock import Clock
from component_base.flags import FlagSet, Values
from component_base.rng import Rng, system_rng

log = logging.getLogger(__name__)

#: Everything that upstream knows by name, in its order; those that we lack are accepted in flags and do nothing.
ORDER = (
    "NamespaceLifecycle",
    "LimitRanger",
    "ServiceAccount",
    "NodeRestriction",
    "TaintNodesByCondition",
    "PodSecurity",
    "Priority",
    "DefaultTolerationSeconds",
    "DefaultStorageClass",
    "StorageObjectInUseProtection",
    "OwnerReferencesPermissionEnforcement",
    "PersistentVolumeClaimResize",
    "RuntimeClass",
    "CertificateApproval",
    "CertificateSigning",
    "ClusterTrustBundleAttest",
    "CertificateSubjectRestriction",
    "DefaultIngressClass",
    "DenyServiceExternalIPs",
    "PodTopologyLabels",
    "MutatingAdmissionPolicy",
    "MutatingAdmissionWebhook",
    "ValidatingAdmissionPolicy",
    "ValidatingAdmissionWebhook",
    "ResourceQuota",
)
DEFAULT_OFF = frozenset({"OwnerReferencesPermissionEnforcement", "DenyServiceExternalIPs"})


def declare(flags: FlagSet) -> None:
    flags.strings("enable-admission-plugins", (), "plugins to turn on beside the default ones")
    flags.strings("disable-admission-plugins", (), "plugins to turn off, default ones included")
    flags.integer("default-not-ready-toleration-seconds", 300, "how long pods stay on a node that is not ready")
    flags.integer("default-unreachable-toleration-seconds", 300, "how long pods stay on a node that is unreachable")


def build(
    values: Values,
    objects: Objects,
    authorizer: ModeAuthorizer,
    clock: Clock,
    rng: Rng | None = None,
    webhooks: Mapping[str, Callable[[], Plugin]] | None = None,
) -> Chain:
    """`webhooks` makes the plugins that ask other servers. Raises ValueError for a plugin name that nobody knows."""
    makers = {**_makers(values, objects, authorizer, clock, rng or system_rng()), **(webhooks or {})}
    enabled = set(ORDER) - DEFAULT_OFF
    for flag in ("enable-admission-plugins", "disable-admission-plugins"):
        unknown = [name for name in values[flag] if name not in ORDER]
        if unknown:
            raise ValueError(f"--{flag}: there is no plugin {unknown[0]!r}; known are {', '.join(ORDER)}")
    for name in values["enable-admission-plugins"]:
        if name not in makers:
            log.warning("the admission plugin %s is known but not there yet: it does nothing", name)
    enabled |= set(values["enable-admission-plugins"])
    enabled -= set(values["disable-admission-plugins"])
    plugins = [makers[name]() for name in ORDER if name in enabled and name in makers]
    check = authorizer.escalation_check()
    return Chain(plugins, () if check is None else (check,))


def _makers(
    values: Values, objects: Objects, authorizer: ModeAuthorizer, clock: Clock, rng: Rng
) -> Mapping[str, Callable[[], Plugin]]:
    return {
        "NamespaceLifecycle": lambda: NamespaceLifecycle(objects, clock),
        "LimitRanger": lambda: LimitRanger(objects),
        "PodSecurity": lambda: PodSecurity(objects),
        "PersistentVolumeClaimResize": lambda: PersistentVolumeClaimResize(objects),
        "RuntimeClass": lambda: RuntimeClass(objects),
        "CertificateApproval": lambda: CertificateApproval(authorizer),
        "CertificateSigning": lambda: CertificateSigning(authorizer),
        "CertificateSubjectRestriction": CertificateSubjectRestriction,
        "OwnerReferencesPermissionEnforcement": lambda: OwnerReferencesPermissionEnforcement(authorizer),
        "DenyServiceExternalIPs": DenyServiceExternalIPs,
        "ResourceQuota": lambda: ResourceQuota(objects, clock),
        "ServiceAccount": lambda: ServiceAccountAdmission(objects, clock, rng),
        "NodeRestriction": lambda: NodeRestriction(objects, authorizer),
        "TaintNodesByCondition": TaintNodesByCondition,
        "Priority": lambda: Priority(objects),
        "DefaultTolerationSeconds": lambda: DefaultTolerationSeconds(
            values["default-not-ready-toleration-seconds"], values["default-unreachable-toleration-seconds"]
        ),
        "DefaultStorageClass": lambda: DefaultStorageClass(objects),
        "StorageObjectInUseProtection": StorageObjectInUseProtection,
        "DefaultIngressClass": lambda: DefaultIngressClass(objects),
    }
