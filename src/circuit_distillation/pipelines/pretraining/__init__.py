"""Base models of the mini family."""
