"""The REST front of the cluster: authenticates, authorises, admits, validates, stores in etcd, and lets clients watch."""
