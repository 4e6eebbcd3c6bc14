"""Images on the node: pulling by policy with back-off and credentials, and collecting the unused."""
