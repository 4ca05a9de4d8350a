"""Speed and memory of the circuit engine, against plain hooks and against other libraries."""
