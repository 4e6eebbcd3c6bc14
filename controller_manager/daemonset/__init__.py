"""DaemonSets: one pod on every node that the template allows."""
