"""Is a stored artifact what this run would make? A record of what it was made of lies beside it."""
