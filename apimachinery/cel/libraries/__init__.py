"""The functions expressions can call, library by library."""
