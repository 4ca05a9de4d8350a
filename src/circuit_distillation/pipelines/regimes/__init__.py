"""Arms on few and on many prompts, over families: the search of their settings, the runs, the tables."""
