"""Leases: the replicated table of what exists (`table`), and the leader's clock on it (`expiry`)."""
