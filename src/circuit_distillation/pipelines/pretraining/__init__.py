"""Base models of the mini family, from scratch."""
