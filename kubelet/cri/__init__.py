"""The kubelet's side of the Container Runtime Interface: the port, its gRPC client, and how a pod is observed through it."""
