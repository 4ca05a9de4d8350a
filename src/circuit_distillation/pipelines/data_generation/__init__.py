"""Prompts by split, corrupted counterparts and the tuning corpus."""
