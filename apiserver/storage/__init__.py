"""Objects in etcd and in memory: keys and values in upstream's layout, a cache that follows the store, watchers."""
