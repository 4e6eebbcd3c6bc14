"""Custom kinds: what the schema in a CustomResourceDefinition makes of their objects.

`version.CustomVersion` is the entrance: one version of one definition, with everything that the server asks of a kind.
The other modules each do one thing with a compiled schema: prune, default, validate, tell server-side apply its types.
Nothing is imported here: a cluster without custom kinds needs none of it.
"""
