"""Generated from proto/etcd; do not edit."""
