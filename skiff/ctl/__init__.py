"""`skiffctl`: talk to any Kubernetes API server, with the words and the output of kubectl."""
