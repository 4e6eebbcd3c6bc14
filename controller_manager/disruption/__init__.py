"""PodDisruptionBudgets: how many pods may be evicted now, kept where the eviction endpoint reads it."""
