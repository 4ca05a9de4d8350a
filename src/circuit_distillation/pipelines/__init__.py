"""Pipelines: thin nodes over the library."""
