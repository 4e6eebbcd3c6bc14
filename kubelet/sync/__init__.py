"""What a pod needs (pure: plan, status, backoff) and doing it (worker, dispatcher)."""
