"""The commands: `skiff` runs clusters, `skiffctl` (in `ctl/`) talks to them."""
