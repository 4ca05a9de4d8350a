"""Two experiments of a family, arm by arm."""
