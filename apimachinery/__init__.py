"""The API of Kubernetes 1.36 as data and pure functions: resources, schemas, defaults, validation, patches, selectors.

Nothing here performs input or output, reads a clock or draws randomness. Start with `resources.py`.
"""
