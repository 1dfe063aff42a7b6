"""Benchmarks: this project and its peers, the same input and the same job on one broker, in one run."""
