"""The search of hyperparameters on validation prompts, and sweeps of single settings."""
