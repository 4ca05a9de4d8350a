"""The study over seeds: trials, what the runs left behind, the paper's claims judged by declared tests."""
