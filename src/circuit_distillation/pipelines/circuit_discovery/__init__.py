"""Circuits, head scores and ablation effects of base and tuned models."""
