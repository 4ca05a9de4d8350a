"""Whether a stored artifact is what this run would make: what it was made of stands beside it."""
