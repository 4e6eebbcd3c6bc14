"""Namespaces that end: everything in them is deleted, then the namespace itself."""
