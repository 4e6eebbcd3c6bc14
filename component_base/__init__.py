"""What every service of skiff stands on: clock, randomness, flags, logging, metrics, certificates, gRPC hosting.

Nothing here knows Kubernetes. It imports nothing of ours, and only here may `time`, `random` and bare tasks be used.
"""
