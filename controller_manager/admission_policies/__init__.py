"""Judges ValidatingAdmissionPolicies against the types of what they are about."""
