"""The four ways to change an object in part: JSON patch, merge patch, strategic merge patch, server-side apply.

Every `apply` takes plain values, leaves them alone and returns the changed object. The result is untyped: give it to
`result.retyped` before it is validated.
"""

JSON_PATCH = "application/json-patch+json"
MERGE_PATCH = "application/merge-patch+json"
STRATEGIC_PATCH = "application/strategic-merge-patch+json"
APPLY_YAML = "application/apply-patch+yaml"
APPLY_CBOR = "application/apply-patch+cbor"
