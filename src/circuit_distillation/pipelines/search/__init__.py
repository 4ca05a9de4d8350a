"""The search of hyperparameters on validation prompts, and the sweeps that ask why."""
