"""The kubelet's side of the Container Runtime Interface: the port, its gRPC client, how a pod is observed by it."""
