"""The command line: the one place that composes service, filters, capture and benchmarks."""
