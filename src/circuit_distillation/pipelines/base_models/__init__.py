"""Base models from the hub or from folders."""
