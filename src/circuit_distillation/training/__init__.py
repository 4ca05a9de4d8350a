"""Training: the mini family, the composite loss, head slices, the distillation loop and the teacher cache."""
