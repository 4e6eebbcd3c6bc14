"""The replicated key space: revisions, transactions, history and the watches on it. Pure: no clock, no loop, no disk.

`keyspace` holds the keys and their history, `reading` answers ranges, `transaction` executes writes, `watching` decides
who is told what, `dump` turns the state into chunks and back. Everything in here is deterministic: every member applies
the same entries and must end with the same bytes.
"""
