"""OpenAPI documents of what is served: v2 as a whole, v3 per group version."""
