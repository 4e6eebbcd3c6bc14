"""Nodes: their share of the pod range, whether they live, and which pods must leave them."""
