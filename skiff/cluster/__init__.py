"""A cluster's life on this host: its settings, certificates, processes, add-ons, and their removal.

Start with `plan.py` (which processes, with which flags, in which order) and `supervisor.py` (keeps them running).
"""
