"""Obvious, slow implementations that the fast ones must agree with."""
