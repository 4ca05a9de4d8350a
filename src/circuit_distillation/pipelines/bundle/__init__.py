"""A student to publish, with its card and records."""
