"""Faults: what is done to the pipeline, and what an independent reader finds afterwards. See __main__.py."""
