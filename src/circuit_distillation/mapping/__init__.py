"""Which student head answers to which teacher head: ablation impact, matching rules, control pairs."""
