"""The study over seeds: trials, outcomes of all runs, and tests of the paper's claims."""
