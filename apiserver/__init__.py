"""The REST front of the cluster: authenticates, authorises, admits, validates, stores in etcd, lets clients watch."""
