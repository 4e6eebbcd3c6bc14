"""Startup, liveness and readiness probes: a pure state machine, the four kinds of check, one task per probed container."""
