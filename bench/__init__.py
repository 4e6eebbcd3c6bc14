"""Measurements, not tests: `make bench`. Timings vary with the machine; compare figures of one run only."""
