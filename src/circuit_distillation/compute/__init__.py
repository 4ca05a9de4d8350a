"""Where computation runs: halving when memory ends, several processes, several machines."""
