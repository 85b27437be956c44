"""Benchmarks: each prints its figures and the machine; compared things run in one process."""
