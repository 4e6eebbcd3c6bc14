"""CustomResourceDefinitions at work: their kinds join the catalog, their conditions are kept, their objects converted.

`kinds.py` follows the definitions and is all that serving needs; `keeper.py` writes their status and removes what a
deleted one leaves behind. Both have no state beside the store, so any number of apiservers may do this at a time.
"""
