"""PodSecurity: the Pod Security Standards, chosen by labels of the namespace."""

from __future__ import annotations

from apiserver.admission.pod_security.plugin import PodSecurity

__all__ = ["PodSecurity"]
