"""Settings of two students pruned from the large base of the mini family, healed for a step or two."""

from __future__ import annotations

HEALING = dict(learning_rate=1e-4, lasso=0.1, log_lasso=False, min_steps=1, max_steps=2, every=1)
SMALL = dict(layers=4, hidden_size=64, target_accuracy=0.0) | HEALING
PRUNED = {"small": SMALL, "medium": SMALL | dict(layers=6, hidden_size=80)}
