"""Startup, liveness and readiness probes: a pure state machine, the four kinds of check, a task for each."""
