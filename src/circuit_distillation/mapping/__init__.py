"""Match student heads with teacher heads: ablation impact, matching rules, control pairs."""
