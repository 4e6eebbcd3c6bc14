"""ReplicaSets and ReplicationControllers: as many pods of a template as asked for, no more, no fewer."""
