"""Requests that another server answers: kubelets (logs, exec, attach, port-forward) and pods, services and nodes.

`build` makes the connectors that endpoints hand such requests to.
"""

from __future__ import annotations

from apiserver.proxy.options import Proxies, build, declare

__all__ = ["Proxies", "build", "declare"]
