"""The audit log: who asked for what and what came of it, as `audit.k8s.io/v1` Events.

Begin with `policy.py` (how much is written of which request), then `record.py` (what is known of one request),
`server.py` (where it is learnt), `log_file.py` and `batches.py` (where it goes). Without `--audit-policy-file` none of
this is loaded and a request pays nothing for it.
"""
