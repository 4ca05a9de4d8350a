"""Kedro hooks: checks that run before any work."""
