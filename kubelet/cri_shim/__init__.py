"""CRI v1 for a kubelet, carried out by containerd's own gRPC services.

The shim holds no state of its own: what it knows about sandboxes and containers lives in containerd's metadata, so it
can be killed and started again while containers run on.
"""

import os

# Read by grpc when it is first imported. CNI plugins are forked and executed at once, so its handlers for forks that go
# on in Python are of no use here; with them it logs a line at every fork.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
