"""Objects in etcd and in memory: keys and values of upstream's layout, a cache that follows the store, and its watchers."""
