"""Deployments: which ReplicaSet is the current one, and how replicas move from the old ones to it.

`revisions` finds and numbers ReplicaSets, `rollout` decides sizes, `status` computes what users read, `controller`
joins them. Facts of behaviour: the Deployment documentation and `kubectl rollout`, which reads the annotations.
"""
