"""One file per command; each is imported when its command is asked for, so that starting stays quick."""
