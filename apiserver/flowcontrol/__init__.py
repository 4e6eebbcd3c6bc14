"""API priority and fairness: who waits when more is asked of the server than it can do at a time."""
