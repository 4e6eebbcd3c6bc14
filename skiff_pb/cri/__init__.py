"""Generated from proto/cri; do not edit."""
