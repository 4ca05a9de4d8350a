"""Path patching, mean ablation, circuit search and evaluation: exact, batched over heads, or by gradients."""
