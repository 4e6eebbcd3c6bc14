"""The Roles within system namespaces, and their bindings."""

from __future__ import annotations

from apiserver.bootstrap.role_table import Binding, parse

TABLE = """\
kube-public/system:controller:bootstrap-signer
  READ | core | configmaps
  update | core | configmaps | cluster-info
  create patch update | core events.k8s.io | events
kube-system/extension-apiserver-authentication-reader
  READ | core | configmaps | extension-apiserver-authentication
kube-system/system::leader-locking-kube-controller-manager
  create get list update watch | coordination.k8s.io | leases
  create get list update watch | coordination.k8s.io | leasecandidates
kube-system/system::leader-locking-kube-scheduler
  create get list update watch | coordination.k8s.io | leases
  create get list update watch | coordination.k8s.io | leasecandidates
kube-system/system:controller:bootstrap-signer
  READ | core | secrets
kube-system/system:controller:cloud-provider
  create get list watch | core | configmaps
kube-system/system:controller:token-cleaner
  delete get list watch | core | secrets
  create patch update | core events.k8s.io | events
"""

NAMESPACE_ROLES = parse(TABLE)
NAMESPACE_BINDINGS = (
    Binding("system:controller:bootstrap-signer", ("account:kube-system/bootstrap-signer",), namespace="kube-public"),
    Binding(
        "extension-apiserver-authentication-reader",
        ("user:system:kube-controller-manager", "user:system:kube-scheduler"),
        namespace="kube-system",
        name="system::extension-apiserver-authentication-reader",
    ),
    Binding(
        "system::leader-locking-kube-controller-manager",
        (
            "user:system:kube-controller-manager",
            "account:kube-system/kube-controller-manager",
            "account:kube-system/leader-election-controller",
        ),
        namespace="kube-system",
    ),
    Binding(
        "system::leader-locking-kube-scheduler",
        ("user:system:kube-scheduler", "account:kube-system/kube-scheduler"),
        namespace="kube-system",
    ),
    Binding("system:controller:bootstrap-signer", ("account:kube-system/bootstrap-signer",), namespace="kube-system"),
    Binding("system:controller:cloud-provider", ("account:kube-system/cloud-provider",), namespace="kube-system"),
    Binding("system:controller:token-cleaner", ("account:kube-system/token-cleaner",), namespace="kube-system"),
)
