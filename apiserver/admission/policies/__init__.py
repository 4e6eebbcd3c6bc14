"""Admission by expressions that are stored in the cluster: validating and mutating policies, match conditions.

Expressions themselves are `apimachinery.cel`; here is what they are shown and what comes of their results.
"""
