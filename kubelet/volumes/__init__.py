"""Pod volumes on the node: what a volume contains (pure payloads), writing it atomically, mounting, tearing down."""
