"""What happens to objects between decoding and storing: plugins that complete them, plugins that refuse them.

`build` makes the chain in upstream's order. Endpoints call `mutate` before validating an object, `validate` after.
"""

from __future__ import annotations

from apiserver.admission.chain import Chain
from apiserver.admission.options import build, declare

__all__ = ["Chain", "build", "declare"]
