"""Belief questions of other authors."""
