"""Paired tests, their correction and intervals: pure functions of stored predictions."""
