"""The conformance kit: what a client in another language must get right, case by case."""
