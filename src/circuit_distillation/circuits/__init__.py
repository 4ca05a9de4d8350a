"""Path patching, mean ablation, circuit search and circuit evaluation, all exact and batched over heads."""
