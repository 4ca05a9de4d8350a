"""The study over seeds: one of its runs, and the evaluation of all runs."""
