"""Plan a run before it starts: memory, work, hours, disk."""
