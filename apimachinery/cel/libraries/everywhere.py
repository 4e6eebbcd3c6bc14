"""The libraries every expression of Kubernetes 1.36 has."""

from __future__ import annotations

from apimachinery.cel.libraries.authorizer import AUTHORIZER
from apimachinery.cel.libraries.lists import LISTS, SETS
from apimachinery.cel.libraries.named_formats import FORMATS
from apimachinery.cel.libraries.network import NETWORK
from apimachinery.cel.libraries.optionals import OPTIONALS
from apimachinery.cel.libraries.quantities import QUANTITIES
from apimachinery.cel.libraries.standard import STANDARD
from apimachinery.cel.libraries.strings import STRINGS

LIBRARIES = (STANDARD, OPTIONALS, AUTHORIZER, STRINGS, LISTS, SETS, QUANTITIES, NETWORK, FORMATS)
