"""Where computation runs: in smaller parts when memory runs out, in several processes, on a Ray cluster."""
