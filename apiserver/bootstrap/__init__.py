"""What a cluster holds before anybody has created anything: namespaces, priority classes, roles, trust in our CAs."""

from __future__ import annotations

from apiserver.bootstrap.start import run

__all__ = ["run"]
