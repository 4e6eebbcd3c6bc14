"""The commands of `skiff`, one file each."""
