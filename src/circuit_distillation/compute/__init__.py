"""Where computation runs: smaller parts when memory ends, several processes, a Ray cluster."""
