"""The libraries every expression of Kubernetes 1.36 has."""

from __future__ import annotations

from apimachinery.cel.libraries.authorizer import AUTHORIZER
from apimachinery.cel.libraries.optionals import OPTIONALS
from apimachinery.cel.libraries.standard import STANDARD

LIBRARIES = (STANDARD, OPTIONALS, AUTHORIZER)
