"""CRI v1 for a kubelet, carried out by containerd's own gRPC services.

The shim holds no state of its own: what it knows about sandboxes and containers lives in containerd's metadata, so it
can be killed and started again while containers run on.
"""
